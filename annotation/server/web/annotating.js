// What makes an annotator's work easier on Argilla's page: more of its words, one record at a time, phones, texts that
// are kept until they are submitted, and a way out where records may hurt.
//
// It works with Argilla's own objects. Where a later Argilla has them no more, that part does nothing.
import words from "./annot-words.js";

const read = (key) => {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
};

// Argilla chooses the language before there is an app, among those that it knows, and then stores it as chosen.
const wanted = (read("argilla").language ?? navigator.language).split("-")[0];

/** Add our words to Argilla's, which come later for some languages and replace all that is there. */
const speak = (i18n) => {
  const add = (language) => i18n.mergeLocaleMessage(language, words[language] ?? {});
  const set = i18n.setLocaleMessage;
  i18n.setLocaleMessage = function (language, messages) {
    set.call(this, language, messages);
    add(language);
  };
  Object.keys(words).forEach(add);
  i18n.locales.push({ code: "pt", name: "Português" });
  i18n.loadedLanguages.push("pt");
  if (wanted !== "pt") return;
  i18n.setLocale("pt");
  document.documentElement.lang = "pt";
  localStorage.setItem("argilla", JSON.stringify({ ...read("argilla"), language: "pt" }));
};

const LATE = "annot-late";

/** Whoever stops sees no more of what the page has loaded already; whoever was too late with an answer sees the next. */
const leave = (axios) =>
  axios?.interceptors.response.use(
    (answer) => {
      if (guard && answer.data?.values?.[guard.question]?.value === guard.option) {
        document.body.hidden = true;
        location.reload();
      }
      if (/\/responses/.test(answer.config?.url) && answer.config.method !== "get") late = undefined;
      return answer;
    },
    (error) => {
      const code = error.response?.data?.code;
      if (["annot_no_seat", "annot_not_yours"].includes(code)) {
        sessionStorage.setItem(LATE, code);
        location.reload();
      }
      throw error;
    },
  );

let app;
Object.defineProperty(window, "$nuxt", {
  configurable: true,
  get: () => app,
  set(made) {
    app = made;
    try {
      speak(app.$i18n);
      leave(app.$axios);
    } catch (error) {
      console.error(error);
    }
  },
});

// On a phone the form lies below the record, and Argilla puts the focus into the form: the page stays where it is.
const isPhone = matchMedia("(max-width: 768px)");
const focus = HTMLElement.prototype.focus;
HTMLElement.prototype.focus = function (options) {
  focus.call(this, isPhone.matches ? { ...options, preventScroll: true } : options);
};

const KEPT = "annot-typed";
const MOST = 200; // texts that are kept; those typed first go first

/** Every text question of a record: under which name its text is kept, and what the server has of it. */
const texts = ({ id, questions, original }) =>
  // Where there is nothing to do, Argilla shows the form of a record without an id.
  (id && app?.$auth?.user ? questions.filter((question) => question.isTextType) : []).map((question) => ({
    answer: question.answer,
    name: [app.$auth.user.id, id, question.name].join(" "),
    before: original.questions.find(({ name }) => name === question.name).answer.value ?? "",
  }));

/** Keep what was typed and not submitted. */
const keep = (record) => {
  const kept = read(KEPT);
  for (const { answer, name, before } of texts(record)) {
    delete kept[name];
    if ((answer.value ?? "") !== before) kept[name] = { text: answer.value ?? "", before };
  }
  localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(Object.entries(kept).slice(-MOST))));
};

/** Put back what was typed before, unless something else was submitted since. */
const restore = (record) => {
  const kept = read(KEPT);
  for (const { answer, name, before } of texts(record)) {
    if (kept[name]?.before === before) answer.value = kept[name].text;
  }
  keep(record);
};

/** Say in the page's language what Argilla has in English in every language. */
const translate = (place, english, key) => {
  const text = document.querySelector(place)?.lastChild;
  const told = text?.data?.replace(english, app?.$i18n?.t(key));
  if (told && told !== text.data) text.data = told;
};

let asked; // of which state of the page the server was asked
let guard; // how this person stands to what the dataset guards
let place; // what is left for this person, where records are assigned
const unguarded = new Set();

/** Whether the page shows all that waits for this annotator. */
const isQueue = () => {
  const { status = "pending", page, ...others } = app.$route.query;
  return app.$auth.user.role === "annotator" && status === "pending" && !Object.values(others).some(Boolean);
};

/** Ask how this person stands to the dataset, at every record anew, and what is left for them where there is none. */
const ask = (id, state) => {
  if (state === asked) return;
  asked = state;
  if (guard?.id !== id) guard = undefined;
  place = undefined;
  if (!id) return;
  if (!unguarded.has(id)) {
    app.$axios.get(`/v1/annot/guards/${id}`).then(({ data }) => {
      if (!data.guarded) unguarded.add(id);
      if (state !== asked) return;
      guard = data.guarded ? { ...data, id } : undefined;
      guide();
    }, console.error);
  }
  if (isQueue() && document.querySelector(".wrapper--empty")) {
    app.$axios.get(`/v1/annot/assignment/${id}`).then(({ data }) => {
      if (state === asked && data.assigned) place = data;
      guide();
    }, console.error);
  }
};

/** Why nothing is left, as the words call it: of an entry test, how this person did. */
const reasonOf = ({ why, test }) => {
  if (test && test !== "open") return test;
  return test && why === "finished" ? "tested" : why;
};

/** Thanks where nothing is left, with how much this person did, and what comes next. */
const thank = (empty, told) => {
  const why = told && reasonOf(told);
  const state = why ? JSON.stringify([why, told.answered, late, app.$i18n.locale]) : "";
  const there = empty?.querySelector(":scope > .annot-thanks");
  if (!empty || (there?.dataset.state ?? "") === state) return;
  there?.remove();
  if (!why) return;
  const thanks = document.createElement("div");
  thanks.className = "annot-thanks";
  thanks.dataset.state = state;
  const add = (name, text) => {
    const made = document.createElement(name);
    made.append(text);
    thanks.append(made);
    return made;
  };
  const language = app.$i18n.locale;
  const until = new Date(told.until || 0).toLocaleString(language, { dateStyle: "long", timeStyle: "short" });
  add("h2", app.$i18n.t(`thanks.${why}.title`));
  if (late) add("p", app.$i18n.t(`thanks.${late}`));
  if (told.answered && !told.test) add("p", app.$i18n.tc("thanks.answered", told.answered, { n: told.answered }));
  if (why !== "open") add("p", app.$i18n.t(`thanks.${why}.text`, { until }));
  const next = { entry: [told.entry, "to_test"], passed: [told.work, "to_work"], open: [app.$route.params.id, "reload"] };
  const [dataset, word] = next[why] ?? [];
  if (dataset) add("a", app.$i18n.t(`thanks.${word}`)).href = location.pathname.replace(app.$route.params.id, dataset);
  empty.append(thanks);
};

/** A line of ours at the end of an element of Argilla's, with a link to where people consent; none without a text. */
const tell = (element, key) => {
  if (!element) return;
  const text = key ? app.$i18n.t(key, { most: guard?.most_a_day, stop: guard?.stop }) : "";
  const there = element.querySelector(":scope > .annot-guard");
  if ((there?.dataset.text ?? "") === text) return;
  there?.remove();
  if (!text) return;
  const line = document.createElement("p");
  line.className = "annot-guard";
  line.dataset.text = text;
  line.append(text);
  if (guard?.asks) {
    const link = document.createElement("a");
    link.href = `${location.pathname.replace(app.$route.params.id, guard.asks)}?page=1&status=${guard.answer}`;
    link.append(app.$i18n.t("guard.consent"));
    line.append(" ", link);
  }
  element.append(line);
};

/** Say how to get out, and why there is nothing to see. */
const guide = () => {
  const empty = document.querySelector(".wrapper--empty");
  const reason = guard?.why === "open" ? guard.finished && "finished" : guard?.why;
  const wayOut = guard?.why === "open" && guard.stop && "guard.way_out";
  tell(document.querySelector(".questions-form"), wayOut || (late && !empty && `thanks.${late}`));
  tell(empty, reason && `guard.${reason}`);
  thank(empty, reason ? undefined : place);
  if (empty?.firstElementChild) empty.firstElementChild.hidden = Boolean(reason || place);
};

let late = sessionStorage.getItem(LATE); // why the answer before was refused: said beside what comes next
sessionStorage.removeItem(LATE);

let shown; // the record on the page

const look = () => {
  // One submission judges one record: the switch is hidden, and an address with "bulk" in it is left again.
  document.querySelector('[aria-label="Switch to Bulk Mode"].active')?.previousElementSibling?.click();
  translate('[aria-label="Total Records"]', /^of(?= )/, "of");
  translate(".datasets-filter .filter-button__button", "Workspaces", "userSettings.fields.workspaces");
  const record = document.querySelector(".questions-form")?.__vue__?.record;
  const route = app?.$route ?? {};
  const id = /annotation-mode$/.test(route.name) && app.$auth?.user && app.$axios ? route.params.id : undefined;
  ask(id, [id, route.query?.status, record?.id, document.querySelector(".wrapper--empty") !== null].join());
  guide();
  if (record === shown) return;
  if (shown) keep(shown); // submitted texts are dropped
  shown = record;
  if (!record) return;
  restore(record);
  if (isPhone.matches) document.querySelector(".fields")?.scrollIntoView();
};
new MutationObserver(look).observe(document, { childList: true, characterData: true, subtree: true });

addEventListener("input", () => setTimeout(() => shown && keep(shown)), true); // Argilla hears of it first
addEventListener("pagehide", () => shown && keep(shown));

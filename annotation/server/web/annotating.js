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

/** Whoever stops sees no more of what the page has loaded already. */
const leave = (axios) =>
  axios?.interceptors.response.use((answer) => {
    if (guard && answer.data?.values?.[guard.question]?.value === guard.option) {
      document.body.hidden = true;
      location.reload();
    }
    return answer;
  });

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
const unguarded = new Set();

/** Ask how this person stands to the dataset, at every record anew. */
const ask = (id, state) => {
  if (state === asked) return;
  asked = state;
  if (guard?.id !== id) guard = undefined;
  if (!id || unguarded.has(id)) return;
  app.$axios.get(`/v1/annot/guards/${id}`).then(({ data }) => {
    if (!data.guarded) unguarded.add(id);
    if (state !== asked) return;
    guard = data.guarded ? { ...data, id } : undefined;
    guide();
  }, console.error);
};

/** A line of ours at the end of an element of Argilla's, with a link to where people consent; none without a text. */
const tell = (element, key) => {
  if (!element) return;
  const text = key ? app.$i18n.t(`guard.${key}`, { most: guard.most_a_day, stop: guard.stop }) : "";
  const there = element.querySelector(":scope > .annot-guard");
  if ((there?.dataset.text ?? "") === text) return;
  there?.remove();
  if (!text) return;
  const line = document.createElement("p");
  line.className = "annot-guard";
  line.dataset.text = text;
  line.append(text);
  if (guard.asks) {
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
  tell(document.querySelector(".questions-form"), guard?.why === "open" && guard.stop && "way_out");
  tell(empty, reason);
  if (empty?.firstElementChild) empty.firstElementChild.hidden = Boolean(reason);
};

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

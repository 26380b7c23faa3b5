// Comes before Argilla's own scripts, and starts them: texts that people and models wrote are shown, not obeyed.
//
// Argilla puts the text of a field into the page as HTML. The Content-Security-Policy keeps scripts in it from running
// and pictures from being fetched; it does not keep a <meta> from leading the page elsewhere, a <style> from hiding it
// or a form from asking for a password. So whatever becomes HTML here passes through DOMPurify first.
import DOMPurify from "./annot-dompurify.js";

const RULES = {
  RETURN_DOM_FRAGMENT: true, // what was looked at is shown as it is, not written out and parsed again
  FORBID_TAGS: ["style", "form", "dialog"],
  FORBID_ATTR: ["srcset", "for", "command", "commandfor", "popover", "popovertarget", "popovertargetaction"],
};
const LOADED = ["href", "xlink:href", "src", "poster", "background"];

// DOMPurify parses in the window of a frame that is gone: there a browser runs, loads and reports nothing at all. In
// the page's own window, Chromium reports every event handler that it parses and the policy forbids.
const frame = document.createElement("iframe");
document.documentElement.append(frame);
delete frame.contentWindow.trustedTypes; // it does not outlive the frame
const purifier = DOMPurify(frame.contentWindow);
frame.remove();

const isHere = (address) => {
  try {
    const url = new URL(address, document.baseURI);
    return url.origin === location.origin || ["data:", "blob:"].includes(url.protocol);
  } catch {
    return false;
  }
};

/** Take out what DOMPurify leaves to its caller: what loads from elsewhere, lies over the page or asks a person. */
const tame = (element) => {
  const isLink = ["a", "area"].includes(element.localName);
  for (const { name, value } of [...element.attributes]) {
    const isAddress = LOADED.includes(name) && !isLink;
    const isDrawn = name === "style" || element.namespaceURI.endsWith("/svg");
    if (isAddress ? isHere(value) : !isDrawn || !/(url|image-set)\((?!\s*["']?#)|\\/i.test(value)) continue;
    element.removeAttribute(name);
    // The address of a picture is told instead.
    if (element.localName === "img" && name === "src") element.alt = `${element.alt} ${value}`.trim();
  }
  // It stays within its field.
  if (!["", "static", "relative"].includes(element.style.position)) element.style.position = "";
  // What a text asks for is not filled in.
  if ("disabled" in element) element.disabled = true;
  if (isLink) {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
  }
};

const clean = (html) => {
  const fragment = purifier.sanitize(html, RULES);
  for (const element of fragment.querySelectorAll("*")) tame(element);
  return document.importNode(fragment, true);
};

const inner = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
Object.defineProperty(Element.prototype, "innerHTML", {
  ...inner,
  set(html) {
    const text = String(html ?? "");
    if (this.ownerDocument !== document || !text.includes("<")) {
      inner.set.call(this, text);
    } else if (this instanceof SVGElement) {
      this.replaceChildren(...clean(`<svg>${text}</svg>`).firstChild.childNodes);
    } else {
      (this instanceof HTMLTemplateElement ? this.content : this).replaceChildren(clean(text));
    }
  },
});

const parse = DOMParser.prototype.parseFromString;
DOMParser.prototype.parseFromString = function (text, kind) {
  if (kind !== "text/html") return parse.call(this, text, kind);
  const page = document.implementation.createHTMLDocument("");
  page.body.append(clean(String(text)));
  return page;
};

/** A page in a frame, as Argilla shows a text that looks like HTML: with the styles around it, and no scripts. */
const framed = (content) => {
  const page = new DOMParser().parseFromString(content, "text/html");
  page.documentElement.dataset.theme = document.documentElement.dataset.theme ?? "";
  for (const sheet of document.querySelectorAll('link[rel="stylesheet"]')) page.head.append(page.importNode(sheet));
  const ground = page.createElement("style");
  ground.textContent = "body{background-color:var(--bg-field);overflow-wrap:anywhere}";
  page.head.append(ground);
  return page.documentElement.outerHTML;
};

const setAttribute = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (this instanceof HTMLIFrameElement && name === "srcdoc") {
    setAttribute.call(this, "sandbox", "allow-same-origin allow-popups");
    setAttribute.call(this, name, framed(String(value)));
  } else {
    setAttribute.call(this, name, value);
  }
};

// Argilla's scripts were held back: where this one fails, none of them runs unguarded.
const start = () => {
  for (const held of document.querySelectorAll('script[type="held"]')) {
    const script = document.createElement("script");
    script.src = held.src;
    script.async = false; // in their order
    held.replaceWith(script);
  }
};
// What only makes the work easier may fail.
import("./annot-annotating.js").catch(console.error).finally(start);

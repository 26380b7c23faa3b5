// Loaded before Argilla's own scripts: texts that people and models wrote are shown, not obeyed.
//
// Argilla puts the text of a field into the page as HTML. The Content-Security-Policy keeps scripts in it from running
// and pictures from being fetched; it does not keep a <meta> from leading the page elsewhere, a <style> from hiding it
// or a form from asking for a password. So whatever becomes HTML here passes through `clean` first.
(() => {
  "use strict";

  const UNUSED =
    "script, style, meta, link, base, title, iframe, frame, frameset, object, embed, applet, portal, template, noscript, form, dialog";
  const ADDRESSES = ["href", "xlink:href", "src", "data", "poster", "action", "formaction", "background", "ping"];
  const UNUSED_ATTRIBUTES = ["srcset", "srcdoc", "ping", "autofocus", "popover", "contenteditable", "http-equiv"];

  const inert = document.implementation.createHTMLDocument("");

  const isHere = (address) => {
    try {
      const url = new URL(address, document.baseURI);
      return url.origin === location.origin || ["data:", "blob:"].includes(url.protocol);
    } catch {
      return false;
    }
  };

  const isFollowed = (address) => {
    try {
      return ["http:", "https:", "mailto:", "tel:"].includes(new URL(address, document.baseURI).protocol);
    } catch {
      return false;
    }
  };

  /** Take out of a tree that is not shown yet what runs, loads from elsewhere or reaches beyond its place. */
  const clean = (tree) => {
    for (const element of tree.querySelectorAll(UNUSED)) element.remove();
    for (const element of tree.querySelectorAll("*")) {
      for (const { name, value } of [...element.attributes]) {
        const bare = name.toLowerCase();
        const fetching = bare === "style" && /url\(|image-set\(|\\/i.test(value);
        if (bare.startsWith("on") || UNUSED_ATTRIBUTES.includes(bare) || fetching) {
          element.removeAttribute(name);
        } else if (ADDRESSES.includes(bare)) {
          const link = element.localName === "a" || element.localName === "area";
          if (link ? isFollowed(value) : isHere(value)) continue;
          element.removeAttribute(name);
          // What was to be fetched is at least told.
          if (element.localName === "img" && !element.alt) element.alt = value;
        }
      }
      // Within its field, whatever it wants to cover.
      if (["fixed", "absolute", "sticky"].includes(element.style?.position)) element.style.position = "";
      if (element.localName === "a" && element.hasAttribute("href")) {
        element.setAttribute("target", "_blank");
        element.setAttribute("rel", "noopener noreferrer");
      }
    }
    return tree;
  };

  const inner = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
  Object.defineProperty(Element.prototype, "innerHTML", {
    ...inner,
    set(html) {
      const shown = this.ownerDocument === document && !(this instanceof HTMLTemplateElement);
      if (!shown || !String(html ?? "").includes("<")) {
        inner.set.call(this, html);
        return;
      }
      const shell = inert.importNode(this, false);
      inner.set.call(shell, html);
      const fragment = document.createDocumentFragment();
      fragment.append(...clean(shell).childNodes);
      this.replaceChildren(fragment);
    },
  });

  /** A page in a frame, as Argilla shows a text that looks like HTML: with the styles around it, and no scripts. */
  const frame = (content) => {
    const page = clean(new DOMParser().parseFromString(content, "text/html"));
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
      setAttribute.call(this, name, frame(String(value)));
    } else {
      setAttribute.call(this, name, value);
    }
  };
})();

// A browser starts no Worker on a page that is opened from disk. There the search runs in a hidden frame instead; as with
// a Worker, each side gets copies of what the other sends, and may change them.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = "<!doctype html>";
      this.ready = new Promise((resolve, reject) => {
        this.frame.onload = () => {
          const inner = this.frame.contentWindow;
          inner.postMessage = (data) => this.onmessage?.({ data: structuredClone(data) });
          const script = inner.document.createElement("script");
          script.onload = () => resolve(inner);
          script.onerror = reject;
          script.src = new URL(address, location);
          inner.document.head.append(script);
        };
      });
      this.ready.catch((error) => this.onerror?.(error));
      document.body.append(this.frame);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.ready.then((inner) => inner.onmessage({ data: copy }), () => {});
    }

    terminate() {
      this.frame.remove();
    }
  };
}

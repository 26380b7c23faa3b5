"use strict";
const root = document.documentElement;
const slides = [...document.querySelectorAll("article")];
const SMALLEST = 16;

// A slide with more words than it has room for gets smaller type.
for (const section of document.querySelectorAll("section")) {
  let size = parseFloat(getComputedStyle(section).fontSize);
  const tooLarge = () => section.scrollHeight > section.clientHeight || section.scrollWidth > section.clientWidth;
  while (size > SMALLEST && tooLarge()) section.style.fontSize = `${--size}px`;
}

let at = Math.max(0, slides.findIndex(({ id }) => `#${id}` === location.hash));
const fit = () => {
  const slide = slides[at];
  slide.style.transform = "none";
  const scale = Math.min(innerWidth / slide.offsetWidth, innerHeight / slide.offsetHeight);
  const [x, y] = [(innerWidth - slide.offsetWidth * scale) / 2, (innerHeight - slide.offsetHeight * scale) / 2];
  slide.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
};
const show = (number) => {
  at = Math.min(Math.max(number, 0), slides.length - 1);
  slides.forEach((slide, place) => slide.classList.toggle("on", place === at));
  history.replaceState(null, "", `#${slides[at].id}`);
  fit();
};
const moves = {
  ArrowRight: () => at + 1, ArrowDown: () => at + 1, PageDown: () => at + 1, " ": () => at + 1, Enter: () => at + 1,
  ArrowLeft: () => at - 1, ArrowUp: () => at - 1, PageUp: () => at - 1, Backspace: () => at - 1,
  Home: () => 0, End: () => slides.length - 1,
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves) {
    event.preventDefault();
    show(moves[event.key]());
  } else if (event.key.toLowerCase() === "n") {
    root.classList.toggle("said");
    fit();
  } else if (event.key.toLowerCase() === "f") {
    document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen();
  }
});
addEventListener("click", (event) => {
  if (!event.target.closest("a") && !String(getSelection())) show(at + (event.clientX < innerWidth / 3 ? -1 : 1));
});
addEventListener("resize", fit);
addEventListener("hashchange", () => show(slides.findIndex(({ id }) => `#${id}` === location.hash)));
root.classList.add("one");
show(at);

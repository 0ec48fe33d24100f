/** The states of a batch and of an item: a word, a shape and a colour each, so that none says it alone. */

import { el, setText, svg } from "./dom.js";

const MEANINGS = {
  queued: "It waits for its turn.",
  filling: "It runs, and its input is still being read.",
  running: "",
  pausing: "What is in flight finishes; nothing new begins.",
  paused: "Nothing runs until it is resumed.",
  cancelling: "What is in flight finishes; nothing else ever begins.",
  cancelled: "What had not begun never ran.",
  completed: "",
  failed: "It was halted before its end.",
  interrupted: "It should run, but no process works on it.",
  expired: "Its deadline has passed: what had not begun by then never ran.",
};

const KINDS = {
  running: "live", filling: "live", pausing: "wait", cancelling: "wait", queued: "calm", pending: "calm",
  paused: "wait", interrupted: "wait", cancelled: "calm", expired: "wait", completed: "good", success: "good",
  failed: "bad",
};

const SHAPES = {
  live: "M5 3.2v9.6L13 8z",
  good: "M3 8.5l3.4 3.4L13 4.6",
  bad: "M8 2.2l6.3 11.3H1.7z M8 6.4v3.4 M8 11.4v.6",
  paused: "M5.5 3.5v9 M10.5 3.5v9",
  queued: "M8 2.5a5.5 5.5 0 1 0 .01 0z M8 5v3.2l2.2 1.6",
  pending: "M8 3a5 5 0 1 0 .01 0z",
  cancelled: "M4 4l8 8 M12 4l-8 8",
  interrupted: "M9 1.8L4 9h3.5L6.8 14.2 12 7H8.4z",
};
SHAPES.pausing = SHAPES.paused;
SHAPES.cancelling = SHAPES.cancelled;
SHAPES.expired = SHAPES.queued;

/** States in the order in which filters list them. */
export const STATES = Object.keys(MEANINGS);

/** What a state amounts to, where its name does not say it. */
export function meaning(state) {
  return MEANINGS[state] ?? "";
}

/** Whether a batch is queued and no server is to run it: whoever wanted to has died first. */
export function isLeft(batch) {
  return batch.state === "queued" && !batch.wanted && batch.holder === null;
}

/** The same of a batch. */
export function meaningOf(batch) {
  return isLeft(batch) ? "Nobody runs it: resume it." : meaning(batch.state);
}

/** live, wait, good, bad or calm. */
export function kind(state) {
  return KINDS[state] ?? "calm";
}

/** Whether a batch moves by itself. */
export function moves(state) {
  return ["queued", "filling", "running", "pausing", "cancelling"].includes(state);
}

/** A state as a badge; `set` shows another one. */
export function badge(state = "") {
  const path = svg("path");
  const word = el("span");
  const node = el("span", { class: "badge" }, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path), word);
  const set = (next, words = meaning(next)) => {
    node.title = words;
    if (node.dataset.state === next) return;
    node.dataset.state = next;
    node.dataset.kind = kind(next);
    path.setAttribute("d", SHAPES[next] ?? SHAPES[kind(next)] ?? SHAPES.pending);
    setText(word, next);
  };
  if (state) set(state);
  return { node, set };
}

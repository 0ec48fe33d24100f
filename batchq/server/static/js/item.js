/** One item in a panel of its own address: what went in, every attempt with its traceback, what came out. */

import { LONG_MS, batchPath, getExact, post } from "./api.js";
import { openDialog } from "./dialog.js";
import { el, replace } from "./dom.js";
import { count, duration, errorWords, moment } from "./format.js";
import { alertBox, failure, loading } from "./parts.js";
import { badge } from "./states.js";

const LONG = 20_000;

/**
 * Opens the panel.
 * @param batch tells the batch as it is now.
 * @param closed is called when it has closed.
 * @returns `{seq, close}`
 */
export function openItem({ id, seq, batch, context, closed }) {
  const body = el("div", { class: "dialog-body" });
  const dialog = openDialog(`Item #${seq}`, "panel", body);
  dialog.querySelector("h2").focus();
  dialog.addEventListener("close", closed);
  const read = async () => {
    replace(body, loading(6, "Loading the item"));
    try {
      const { items } = await getExact(batchPath(id, "items", `#${seq}`));
      if (!items.length) return replace(body, el("p", {}, "There is no such item."));
      const name = String(items[0].id);
      dialog.querySelector("h2").textContent = name === `item-${seq}` ? name : `${name} (#${seq})`;
      replace(body, items.map((item) => details(item, { id, batch, context, read })));
    } catch (error) {
      replace(body, failure(error, "The item could not be read", read));
    }
    return undefined;
  };
  read();
  return { seq, close: () => dialog.close() };
}

function details(item, given) {
  const facts = [
    ["Position", `#${item.seq}, line ${item.line} of the input`],
    ["Attempts", item.attempts ? `${item.attempts}${item.run > 1 ? ` in run ${item.run}` : ""}, ${duration(item.duration)} in the function` : "none that has ended"],
    ["Cut short by a crash", item.interruptions ? count(item.interruptions, "time") : null],
    ["Ended", item.ended_at ? moment(item.ended_at) : null],
  ].filter(([, value]) => value);
  const parts = [
    el("div", { class: "item-head" }, badge(item.status).node, again(item, given)),
    el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  ];
  if (item.error) parts.push(el("p", { class: "error-line" }, errorWords(item.error_type, item.error)));
  parts.push(el("h3", {}, "Item"), json("The item", item.input));
  if (item.status === "success") parts.push(el("h3", {}, "Result"), json("The result", item.result));
  if (item.history.length) {
    parts.push(el("h3", {}, "Attempts"), el("ol", { class: "history" }, attempts(item)));
  }
  return el("article", {}, parts);
}

/** The last attempt is open: it is what the outcome came from. */
function attempts(item) {
  return item.history.map((attempt, nth) => {
    const last = nth === item.history.length - 1;
    const stage = item.stages > 1 ? `Stage ${attempt.stage}, attempt` : "Attempt";
    const name = `${stage} ${attempt.attempt}${item.run > 1 ? ` of run ${attempt.run}` : ""}`;
    const where = attempt.worker ? `, worker ${attempt.worker}` : "";
    const head = [
      el("strong", {}, name), " ", badge(attempt.status).node, " ",
      el("span", { class: "note" }, attempt.started_at ? moment(attempt.started_at) : "", `, ${duration(attempt.duration)}${where}`),
    ];
    if (attempt.status === "success") return el("li", {}, el("p", {}, head));
    const words = attempt.traceback?.trimEnd() || errorWords(attempt.error_type, attempt.error);
    const wait = attempt.wait === null ? null : el("p", { class: "note" }, `The next attempt was due ${duration(attempt.wait)} later.`);
    return el("li", {}, el("details", { open: last }, el("summary", {}, head), text(`Traceback of attempt ${attempt.attempt}`, words), wait));
  });
}

function again(item, { id, batch, context, read }) {
  if (item.status !== "failed" || !batch()?.actions.includes("retry")) return null;
  const wrong = alertBox();
  const button = el("button", { type: "button" }, "Run it again");
  button.addEventListener("click", async () => {
    wrong.clear();
    try {
      await post(batchPath(id, "retry"), { items: [`#${item.seq}`] }, LONG_MS);
      context.announce("The item will run again.");
      await read();
    } catch (error) {
      wrong.set(error);
    }
  });
  return el("div", { class: "again" }, button, wrong.node);
}

function json(name, value) {
  return text(name, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

/** A long text is cut until somebody asks for all of it: the page stays quick. */
function text(name, words) {
  const node = el("pre", { tabindex: "0", role: "region", "aria-label": name });
  node.textContent = words.length > LONG ? `${words.slice(0, LONG)}…` : words;
  if (words.length <= LONG) return node;
  const rest = el("button", { type: "button", class: "quiet" }, `Show all ${count(words.length, "character")}`);
  rest.addEventListener("click", () => {
    node.textContent = words;
    rest.remove();
    node.focus();
  });
  return [node, rest];
}

/** Small things that several pages show: a bar, a loading page, an error with a way on. */

import { Offline } from "./api.js";
import { el, freshId, setAttribute, setText } from "./dom.js";
import { number, percent } from "./format.js";

/**
 * How far a batch is: succeeded, failed, and the rest.
 * @param {string} label what a screen reader calls it.
 * @returns `{node, set(batch)}`
 */
export function progressBar(label) {
  const good = el("span", { class: "good" });
  const bad = el("span", { class: "bad" });
  const node = el(
    "div",
    { class: "whole", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" },
    good,
    bad,
  );
  const set = (batch) => {
    const all = batch.total_items;
    const done = batch.processed_items;
    node.dataset.unsure = String(!batch.input_done);
    good.style.width = `${all ? (100 * batch.success_count) / all : 0}%`;
    bad.style.width = `${all ? (100 * batch.failure_count) / all : 0}%`;
    const share = all ? Math.floor((100 * done) / all) : batch.state === "completed" ? 100 : 0;
    setAttribute(node, "aria-valuenow", share);
    const failed = batch.failure_count ? `, ${number(batch.failure_count)} failed` : "";
    setAttribute(node, "aria-valuetext", `${percent(done, all)}, ${number(done)} of ${number(all)}${failed}`);
  };
  return { node, set };
}

/** What stands where something is being read; a screen reader hears it. */
export function loading(lines = 4, words = "Loading") {
  const rows = Array.from({ length: lines }, () => el("div", { class: "skeleton", "aria-hidden": "true" }));
  return el("div", { class: "loading", role: "status" }, el("span", { class: "hidden" }, `${words} …`), rows);
}

/** What stands where something could not be read. */
export function failure(error, title, again) {
  const words = [el("strong", {}, title), el("p", {}, capital(error.message))];
  if (error.hint) words.push(el("p", { class: "note" }, error.hint));
  const button = el("button", { type: "button", onclick: again }, "Try again");
  return el("div", { class: "trouble", role: "alert" }, words, again ? button : null);
}

/** An error in a form: empty until `set(error)`; `clear()` takes it away. */
export function alertBox() {
  const node = el("div", { class: "alert", role: "alert" });
  return {
    node,
    set(error) {
      const hint = error.hint ? el("span", { class: "note" }, ` ${error.hint}`) : null;
      node.replaceChildren(el("span", {}, capital(error.message)), ...(hint ? [hint] : []));
      node.dataset.offline = String(error instanceof Offline);
    },
    clear() {
      node.replaceChildren();
    },
  };
}

/**
 * A labelled control with its hint, and its error once there is one.
 * @param {string} name of the control.
 * @param {string} label above it.
 * @param {HTMLElement} control
 * @param {string} hint below it.
 * @returns `{node, control, fail(text)}`; an empty text takes the error away.
 */
export function field(name, label, control, hint = "") {
  const id = freshId(name);
  const help = el("p", { class: "hint", id: `${id}-hint` }, hint);
  const wrong = el("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  control.id = id;
  control.name = name;
  control.setAttribute("aria-describedby", `${hint ? help.id : ""} ${wrong.id}`.trim());
  const isBox = control.type === "checkbox";
  const title = el("label", { for: id }, label);
  const node = el("div", { class: isBox ? "field box" : "field" }, isBox ? [control, title] : [title, control]);
  if (hint) node.append(help);
  node.append(wrong);
  const fail = (text) => {
    setText(wrong, text);
    wrong.hidden = !text;
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return { node, control, fail };
}

/** "no such batch" as "No such batch." would begin; names of options stay as they are. */
export function capital(text) {
  return text.startsWith("--") ? text.slice(2).replace(/^./, (first) => first.toUpperCase()) : text.replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase());
}

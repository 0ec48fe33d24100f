/** Failures that look alike, the most frequent first; one of them filters the items. */

import { batchPath, get } from "./api.js";
import { el, replace, setText, throttled } from "./dom.js";
import { count, errorWords, moment, number, shorten } from "./format.js";
import { moves } from "./states.js";

const GROUPS = 20;
const SHOWN = 5;
const AGAIN_MS = 3000;
const LENGTH = 220;

export class Failures {
  #id;
  #choose;
  #failed = null;
  #groups = [];
  #all = false;
  #closed = false;
  #heading = el("h2", {}, "Failures");
  #list = el("ol", { class: "groups" });
  #more = el("button", { type: "button", class: "quiet" });

  constructor({ id, choose }) {
    this.#id = id;
    this.#choose = choose;
    this.#more.addEventListener("click", () => this.#showAll());
    this.node = el("section", { class: "failures", "aria-label": "Failures", hidden: true }, this.#heading, this.#list, this.#more);
  }

  set(batch) {
    this.node.hidden = batch.failure_count === 0;
    if (batch.failure_count === this.#failed) return;
    const isFirst = this.#failed === null;
    this.#failed = batch.failure_count;
    setText(this.#heading, `${count(batch.failure_count, "failure")}`);
    if (isFirst) this.#show(batch.failure_groups); // the status has the first of them
    if (batch.failure_count > 0) {
      if (moves(batch.state)) this.#readSoon();
      else this.#read();
    }
  }

  close() {
    this.#closed = true;
    this.#readSoon.cancel();
  }

  #readSoon = throttled(() => this.#read(), AGAIN_MS);

  async #read() {
    try {
      const answer = await get(batchPath(this.#id, "failures"), { limit: GROUPS });
      if (!this.#closed) this.#show(answer.groups);
    } catch {
      // What was there stays; the bar says that the server does not answer.
    }
  }

  #showAll() {
    this.#all = true;
    this.#show(this.#groups);
    this.#list.children[SHOWN]?.querySelector("button")?.focus();
  }

  #show(all) {
    const groups = all.filter((each) => each.failed > 0); // of the others every item has got through in the end
    if (JSON.stringify(groups) === JSON.stringify(this.#groups) && !this.#all) return;
    this.#groups = groups;
    const focused = [...this.#list.children].findIndex((each) => each.contains(document.activeElement));
    const shown = this.#all ? groups : groups.slice(0, SHOWN);
    replace(this.#list, shown.map((group) => this.#line(group)));
    if (focused >= 0) this.#list.children[focused]?.querySelector("button")?.focus();
    this.#more.hidden = shown.length === groups.length;
    setText(this.#more, `${count(groups.length - SHOWN, "other kind")} …`);
  }

  #line(group) {
    const words = shorten(errorWords(group.error_type, group.error), LENGTH);
    const times = group.first === group.last ? [moment(group.first)] : [moment(group.first), " to ", moment(group.last)];
    const place = group.frame ? [el("span", { class: "place" }, group.frame.replace(/^.*\//, "")), " · "] : [];
    const share = el("span", { class: "share", "aria-hidden": "true" });
    share.style.setProperty("--share", String(this.#failed ? group.failed / this.#failed : 0));
    const name = `Show the ${count(group.failed, "item")} that failed with ${words}`;
    const open = el("button", { type: "button", "aria-label": name, onclick: () => this.#choose(group) }, words);
    return el("li", {}, el("span", { class: "many" }, number(group.failed)), el("div", { class: "what" }, open, el("p", { class: "note" }, place, times), share));
  }
}

/** What can be done to a batch now: a button each, with a question where something is lost or much is repeated. */

import { LONG_MS, batchPath, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { el, show } from "./dom.js";
import { openDownloads } from "./downloads.js";
import { count, number, shorten } from "./format.js";
import { openLimits } from "./limits.js";
import { alertBox } from "./parts.js";

export class Actions {
  #id;
  #batch;
  #changed;
  #deleted;
  #announce;
  #buttons = new Map();
  #wrong = alertBox();

  constructor({ id, batch, changed, deleted, context }) {
    this.#id = id;
    this.#batch = batch;
    this.#changed = changed;
    this.#deleted = deleted;
    this.#announce = context.announce;
    const does = {
      resume: ["Resume", "primary", () => this.#do("resume")],
      pause: ["Pause", "", () => this.#do("pause")],
      retry: ["Retry failed", "", () => this.#askRetry()],
      set: ["Limits", "", () => openLimits(this.#id, this.#batch, (next) => this.#set(next, "The limits are changed."))],
      cancel: ["Cancel", "", () => this.#askCancel()],
      delete: ["Delete", "", () => this.#askDelete()],
    };
    for (const [name, [word, kind, act]] of Object.entries(does)) {
      this.#buttons.set(name, el("button", { type: "button", class: kind, "data-action": name, onclick: act }, word));
    }
    const load = el("button", { type: "button", onclick: () => openDownloads(this.#id, this.#batch) }, "Download");
    const row = el("div", { class: "buttons", role: "group", "aria-label": "Actions" }, [...this.#buttons.values()], load);
    this.node = el("div", { class: "actions" }, row, this.#wrong.node);
  }

  set(batch) {
    this.#batch = batch;
    const focused = document.activeElement;
    for (const [name, button] of this.#buttons) show(button, batch.actions.includes(name));
    if (focused?.hidden && this.node.contains(focused)) this.node.querySelector("button:not([hidden])")?.focus();
  }

  #set(batch, words) {
    this.#changed(batch);
    if (words) this.#announce(words);
  }

  async #do(action) {
    const button = this.#buttons.get(action);
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    this.#wrong.clear();
    try {
      this.#set(await post(batchPath(this.#id, action)));
    } catch (error) {
      this.#wrong.set(error);
    }
    button.removeAttribute("aria-busy");
  }

  #askRetry() {
    const failed = this.#batch.failure_count;
    const words = failed === 1 ? "The failed item runs again." : `All ${number(failed)} failed items run again.`;
    confirm({
      title: failed === 1 ? "Retry the failed item?" : `Retry ${count(failed, "failed item")}?`,
      body: [el("p", {}, `${words} What they have done so far stays in their history.`)],
      verb: failed === 1 ? "Retry it" : `Retry ${number(failed)}`,
      act: async () => {
        const answer = await post(batchPath(this.#id, "retry"), {}, LONG_MS);
        this.#set(answer, `${count(answer.retried ?? failed, "item")} will run again.`);
      },
    });
  }

  /** The same for those whose error contains a text. */
  askRetryOf(text) {
    confirm({
      title: "Retry these items?",
      body: [el("p", {}, "All failed items run again whose error contains ", el("code", {}, shorten(text, 200)), ".")],
      verb: "Retry these",
      act: async () => {
        const answer = await post(batchPath(this.#id, "retry"), { error: pattern(text) }, LONG_MS);
        this.#set(answer, "They will run again.");
      },
    });
  }

  #askCancel() {
    const left = this.#batch.total_items - this.#batch.processed_items;
    confirm({
      title: `Cancel ${this.#id}?`,
      body: [
        el("p", {}, `${count(left, "item")} without an outcome will never run. What is in flight still finishes.`),
        el("p", { class: "note" }, "This is for good. Pause it to go on later."),
      ],
      verb: "Cancel the batch",
      danger: true,
      act: async () => this.#set(await post(batchPath(this.#id, "cancel"))),
    });
  }

  #askDelete() {
    const done = this.#batch.processed_items;
    confirm({
      title: `Delete ${this.#id}?`,
      body: [el("p", {}, `The batch and ${count(done, "recorded outcome")} are removed from the disk. This is for good.`)],
      verb: "Delete the batch",
      danger: true,
      act: async () => {
        await remove(batchPath(this.#id));
        this.#deleted();
      },
    });
  }
}

/** A text as the regular expression that finds it. */
function pattern(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

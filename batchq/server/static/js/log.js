/** The last lines of a batch's log, read once somebody opens it and then as the batch moves. */

import { batchPath, get } from "./api.js";
import { el, setText, throttled } from "./dom.js";

const LINES = 200;
const AGAIN_MS = 3000;

export class Log {
  #id;
  #words = el("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "Log" });
  #box = el("details", {}, el("summary", {}, el("h2", {}, "Log")), this.#words);

  constructor({ id }) {
    this.#id = id;
    this.node = el("section", { class: "logs", "aria-label": "Log of the batch" }, this.#box);
    this.#box.addEventListener("toggle", () => this.#box.open && this.#read());
  }

  set() {
    if (this.#box.open) this.#readSoon();
  }

  close() {
    this.#readSoon.cancel();
  }

  #readSoon = throttled(() => this.#read(), AGAIN_MS);

  async #read() {
    try {
      const { lines } = await get(batchPath(this.#id, "log"), { lines: LINES });
      const atEnd = this.#words.scrollTop + this.#words.clientHeight > this.#words.scrollHeight - 8;
      setText(this.#words, lines.length ? lines.join("\n") : "Nothing has been logged.");
      if (atEnd) this.#words.scrollTop = this.#words.scrollHeight;
    } catch (error) {
      if (!this.#words.textContent) setText(this.#words, error.message);
    }
  }
}

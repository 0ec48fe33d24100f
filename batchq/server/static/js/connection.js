/** Whether what is shown is what is: in the header while it is, in a bar across the page once it is not. */

import { el, setText, show } from "./dom.js";
import { age } from "./format.js";

export class Connection {
  #bar;
  #words;
  #light;
  #announce;
  #heardAt = null;
  #retryAt = 0;
  #ticker = null;
  #again = () => {};

  /**
   * @param {HTMLElement} bar across the page.
   * @param {HTMLElement} light in the header.
   * @param announce tells a screen reader.
   */
  constructor(bar, light, announce) {
    this.#bar = bar;
    this.#light = light;
    this.#announce = announce;
    this.#words = el("span");
    const now = el("button", { type: "button", onclick: () => this.#again() }, "Try now");
    bar.append(el("strong", {}, "Disconnected"), this.#words, now);
  }

  get isLive() {
    return this.#ticker === null;
  }

  /** Something has come from the server. */
  heard() {
    this.#heardAt = Date.now();
    if (this.#ticker !== null) {
      clearInterval(this.#ticker);
      this.#ticker = null;
      this.#announce("Connected again.");
    }
    show(this.#bar, false);
    setText(this.#light, "Live");
    this.#light.dataset.state = "live";
  }

  /** The page has another stream now, or none. */
  idle() {
    if (this.#ticker === null) {
      setText(this.#light, "");
      this.#light.dataset.state = "";
    }
  }

  /**
   * Nobody answers.
   * @param {number} wait milliseconds until the next try.
   * @param again tries at once.
   */
  lost(wait, again) {
    this.#retryAt = Date.now() + wait;
    this.#again = again;
    if (this.#ticker === null) {
      this.#announce("Disconnected from the server, trying again.");
      this.#ticker = setInterval(() => this.#tick(), 1000);
    }
    setText(this.#light, "Disconnected");
    this.#light.dataset.state = "lost";
    show(this.#bar, true);
    this.#tick();
  }

  #tick() {
    const left = Math.ceil((this.#retryAt - Date.now()) / 1000);
    const next = left > 0 ? `Trying again in ${left} s.` : "Trying again …";
    const old = this.#heardAt === null ? "" : ` What is shown is ${age((Date.now() - this.#heardAt) / 1000)} old.`;
    setText(this.#words, next + old);
  }
}

/** The first items of a file, as the server reads them: before anything is sent as a whole. */

import { call, exact } from "./api.js";
import { el, replace } from "./dom.js";
import { count, oneLine, shorten } from "./format.js";
import { alertBox } from "./parts.js";

const FIRST_BYTES = 256 * 1024;
const MOST_BYTES = 1024 * 1024; // that the server takes
const BINARY = /\.(parquet|arrow|feather)$/i; // of which a part says nothing, or little
const WAIT_MS = 400;

export class Preview {
  #reading;
  #asked = null;
  #timer = null;

  constructor(reading) {
    this.#reading = reading;
    this.node = el("div", { class: "preview", role: "status" });
  }

  close() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
  }

  /** Asks for the preview of a file; null empties it. */
  show(file) {
    this.close();
    if (!file) return replace(this.node);
    this.#timer = setTimeout(() => this.#ask(file), this.node.firstChild ? WAIT_MS : 0);
    return undefined;
  }

  async #ask(file) {
    const asked = new AbortController();
    this.#asked = asked;
    const head = file.slice(0, BINARY.test(file.name) ? MOST_BYTES : FIRST_BYTES);
    const query = { name: file.name, size: String(file.size), ...this.#reading() };
    try {
      this.#show(await call("POST", "/preview", { query, body: head, signal: asked.signal, parse: exact }));
    } catch (error) {
      if (asked.signal.aborted) return;
      const wrong = alertBox();
      wrong.set(error);
      replace(this.node, wrong.node);
    }
  }

  #show({ items, format, problems, cut }) {
    const first = cut || items.length >= 10 ? `The first ${count(items.length, "item")}` : count(items.length, "item");
    const title = items.length ? `${first}, read as ${format}` : `No items found, read as ${format}`;
    const rows = items.map(({ line, id, item }) => el("tr", {},
      el("td", { class: "count note" }, String(line ?? "")),
      el("th", { scope: "row" }, shorten(String(id ?? ""), 40)),
      el("td", {}, el("code", {}, oneLine(item, 200)))));
    const head = el("thead", {}, el("tr", {}, ["Line", "Id", "Item"].map((name) => el("th", { scope: "col" }, name))));
    const table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "First items" },
      el("table", {}, head, el("tbody", {}, rows)));
    const wrong = problems.map((words) => el("li", {}, words));
    replace(this.node, el("p", { class: "title" }, title), items.length ? table : null, wrong.length ? el("ul", { class: "problems" }, wrong) : null);
  }
}

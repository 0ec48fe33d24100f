/** The items of a batch, a page at a time: however many there are, the page has no more rows than that. */

import { batchPath, get } from "./api.js";
import { el, replace, setText, settled, show, throttled } from "./dom.js";
import { duration, errorWords, moment, number, shorten } from "./format.js";
import { failure, loading } from "./parts.js";
import { link, setQuery } from "./router.js";
import { badge, moves } from "./states.js";

const PAGE = 25;
const AGAIN_MS = 3000;
const TYPING_MS = 300;
const ERROR_LENGTH = 200;
const GROUP_LENGTH = 200;
const STATUSES = [["", "All items"], ["failed", "Failed"], ["success", "Succeeded"], ["pending", "Not done"]];

export class Items {
  #id;
  #announce;
  #query;
  #cursors = [null];
  #next = null;
  #asked = null;
  #done = null;
  #known = false;
  #rows = [];
  #heading = el("h2", { tabindex: "-1" }, "Items");
  #status = el("select", { "aria-label": "Status" }, STATUSES.map(([value, word]) => el("option", { value }, word)));
  #search = el("input", { type: "search", placeholder: "Id or text", "aria-label": "Search items by id or text" });
  #group = el("span");
  #filter = el("div", { class: "filter", hidden: true });
  #again = el("button", { type: "button" }, "Retry these");
  #table;
  #body = el("tbody");
  #place = el("div");
  #found = el("p", { class: "note found", role: "status" });
  #earlier = el("button", { type: "button" }, "Back");
  #later = el("button", { type: "button" }, "Next");
  #pages = el("div", { class: "pages" }, this.#earlier, this.#found, this.#later);

  constructor({ id, context, retry }, query) {
    this.#id = id;
    this.#announce = context.announce;
    this.#query = { status: query.get("status") ?? "", q: query.get("q") ?? "", error: query.get("error") ?? "" };
    this.#status.value = this.#query.status;
    this.#search.value = this.#query.q;
    const names = ["Item", "Status", "Error", "Attempts", "Time", "Ended"];
    const head = el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));
    this.#table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Items" },
      el("table", { class: "items" }, head, this.#body));
    const forget = el("button", { type: "button", class: "quiet", onclick: () => this.#choose({ error: "" }) }, "Show all kinds");
    this.#again.addEventListener("click", () => retry(this.#query.error));
    this.#filter.append("Failed with ", this.#group, " ", this.#again, " ", forget);
    const tools = el("div", { class: "tools", role: "search" }, this.#status, this.#search);
    this.node = el("section", { class: "all-items", "aria-label": "All items" },
      el("div", { class: "head" }, this.#heading, tools), this.#filter, this.#place, this.#pages);
    this.#status.addEventListener("change", () => this.#choose({ status: this.#status.value }));
    this.#search.addEventListener("input", settled(() => this.#choose({ q: this.#search.value.trim() }), TYPING_MS));
    this.#earlier.addEventListener("click", () => this.#turn(-1));
    this.#later.addEventListener("click", () => this.#turn(1));
    show(this.#pages, false);
    replace(this.#place, loading(5, "Loading the items"));
    this.#showFilter();
    this.#read();
  }

  set(batch) {
    show(this.#again, batch.actions.includes("retry"));
    const done = `${batch.processed_items} ${batch.failure_count} ${batch.state} ${batch.retries}`;
    const isFirst = this.#done === null;
    if (done === this.#done) return;
    this.#done = done;
    if (isFirst) return;
    if (moves(batch.state)) this.#readSoon();
    else this.#read();
  }

  close() {
    this.#asked?.abort();
    this.#readSoon.cancel();
  }

  /** Shows the items of a group of failures. */
  chooseGroup(group) {
    this.#status.value = "failed";
    this.#search.value = "";
    this.#choose({ status: "failed", q: "", error: errorOf(group) }).then(() => {
      this.#heading.scrollIntoView({ block: "start" });
      this.#heading.focus({ preventScroll: true });
    });
  }

  #readSoon = throttled(() => this.#asked ?? this.#read(), AGAIN_MS);

  async #choose(change) {
    Object.assign(this.#query, change);
    this.#cursors = [null];
    setQuery(this.#query);
    this.#showFilter();
    await this.#read();
    this.#announce(this.#rows.length ? `${this.#found.textContent}.` : "No item is like that.");
  }

  #showFilter() {
    show(this.#filter, this.#query.error !== "");
    replace(this.#group, el("code", {}, shorten(this.#query.error, 120)));
  }

  async #turn(step) {
    if (step > 0 && this.#next !== null) this.#cursors.push(this.#next);
    else if (step < 0 && this.#cursors.length > 1) this.#cursors.pop();
    await this.#read();
    this.#heading.scrollIntoView({ block: "start" });
    this.#heading.focus({ preventScroll: true });
  }

  async #read() {
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    try {
      await this.#readPage(asked.signal);
    } catch (error) {
      if (asked.signal.aborted) return;
      if (!this.#known) replace(this.#place, failure(error, "The items could not be read", () => this.#read()));
    }
    if (this.#asked === asked) this.#asked = null;
  }

  /** A search that takes long is answered in parts, which are shown as they come. */
  async #readPage(signal) {
    const items = [];
    let next = this.#cursors.at(-1);
    do {
      const query = { ...this.#query, limit: PAGE - items.length, cursor: next };
      const answer = await get(batchPath(this.#id, "items"), query, signal);
      items.push(...answer.items);
      next = answer.next;
      this.#known = true;
      this.#show(items, next, next !== null && items.length < PAGE);
    } while (next !== null && items.length < PAGE);
  }

  #show(items, next, isSearching) {
    this.#next = next;
    items.forEach((item, nth) => {
      this.#rows[nth] ??= this.#row();
      this.#rows[nth].set(item);
      if (this.#rows[nth].node.parentNode !== this.#body) this.#body.append(this.#rows[nth].node);
    });
    for (const row of this.#rows.splice(items.length)) row.node.remove();
    const wanted = items.length ? this.#table : el("p", { class: "blank small" }, isSearching ? "Searching …" : this.#emptyWords());
    if (this.#place.firstChild !== wanted) replace(this.#place, wanted);
    const page = this.#cursors.length;
    const last = (page - 1) * PAGE + items.length;
    const first = (page - 1) * PAGE + 1;
    const end = isSearching ? ", searching …" : next === null && page > 1 ? ", the last" : "";
    setText(this.#found, items.length ? `Items ${number(first)} to ${number(last)}${end}` : "");
    show(this.#pages, page > 1 || next !== null);
    this.#earlier.disabled = page === 1;
    this.#later.disabled = next === null || isSearching;
  }

  #emptyWords() {
    const { status, q, error } = this.#query;
    return status || q || error ? "No item is like that." : "No items yet.";
  }

  #row() {
    const open = el("a", {});
    const seq = el("span", { class: "note" });
    const state = badge();
    const error = el("td", { class: "error" });
    const [attempts, time, ended] = ["", "", ""].map(() => el("td", { class: "count" }));
    const node = el("tr", {}, el("th", { scope: "row" }, open, " ", seq), el("td", {}, state.node), error, attempts, time, ended);
    const set = (item) => {
      setText(open, shorten(String(item.id), 60));
      open.setAttribute("href", link(["batches", this.#id, "items", String(item.seq)], this.#query));
      setText(seq, `#${item.seq}`);
      state.set(item.status);
      setText(error, item.error_type ? shorten(errorWords(item.error_type, item.error), ERROR_LENGTH) : "");
      setText(attempts, item.attempts ? number(item.attempts) : "");
      setText(time, item.duration ? duration(item.duration) : "");
      if (ended.dataset.at !== item.ended_at) replace(ended, item.ended_at ? moment(item.ended_at) : null);
      ended.dataset.at = item.ended_at ?? "";
    };
    return { node, set };
  }
}

/** What the API finds the items of a group by: the words before the first one that may vary within the group. */
function errorOf(group) {
  const fixed = /^(?:[^\s\d"'`“„‘«/@\\]+(?:\s+|$))*/.exec(group.error)[0].slice(0, GROUP_LENGTH);
  return `${group.error_type}: ${fixed}`.trimEnd();
}

/** The list of batches: live, filtered by state and text, in pages. */

import { get } from "./api.js";
import { el, replace, setText, settled, show, throttled } from "./dom.js";
import { emptyHome } from "./empty.js";
import { Stream } from "./events.js";
import { number } from "./format.js";
import { failure, loading } from "./parts.js";
import { link, setQuery } from "./router.js";
import { batchRow } from "./row.js";
import { STATES } from "./states.js";
import { setIcon, setTitle } from "./title.js";

const PAGE = 25;
const AGAIN_MS = 1500;
const TYPING_MS = 250;

/** Opens the page; see `startRouter`. */
export function openList(main, where, context) {
  return new List(main, where, context);
}

class List {
  #context;
  #rows = new Map();
  #states = {};
  #query;
  #cursors = [null];
  #next = null;
  #asked = null;
  #known = false;
  #stream;

  #heading = el("h1", { tabindex: "-1" }, "Batches");
  #filters = el("div", { class: "chips", role: "group", "aria-label": "Filter by state" });
  #search = el("input", { type: "search", placeholder: "Id or function", "aria-label": "Search by id or function" });
  #body = el("div");
  #list = el("ul", { class: "batches" });
  #found = el("p", { class: "note found", role: "status" });
  #earlier = el("button", { type: "button" }, "Newer");
  #later = el("button", { type: "button" }, "Older");
  #pages = el("div", { class: "pages" }, this.#earlier, this.#found, this.#later);
  #broken = el("div");

  constructor(main, where, context) {
    this.#context = context;
    this.#query = { state: where.query.get("state") ?? "", q: where.query.get("q") ?? "" };
    this.#search.value = this.#query.q;
    const head = el("div", { class: "head" }, this.#heading, el("a", { class: "button primary", href: link(["new"]) }, "New batch"));
    const tools = el("div", { class: "tools", role: "search" }, this.#filters, this.#search);
    main.append(head, tools, this.#broken, this.#body, this.#pages);
    replace(this.#body, loading(5, "Loading the batches"));
    this.#pages.hidden = true;
    this.#search.addEventListener("input", settled(() => this.#filter({ q: this.#search.value.trim() }), TYPING_MS));
    this.#earlier.addEventListener("click", () => this.#turn(-1));
    this.#later.addEventListener("click", () => this.#turn(1));
    setTitle("Batches");
    setIcon();
    this.#read();
    this.#stream = new Stream(
      "/events",
      "/server",
      {
        status: (batch) => this.#changed(batch),
        deleted: (id) => this.#rows.has(id) && this.#readSoon(),
        opened: () => (this.#known ? this.#read() : undefined),
        gone: () => {},
      },
      context.connection,
    );
  }

  moved(where) {
    const query = { state: where.query.get("state") ?? "", q: where.query.get("q") ?? "" };
    if (query.state !== this.#query.state || query.q !== this.#query.q) {
      this.#search.value = query.q;
      this.#filter(query);
    }
  }

  close() {
    this.#readSoon.cancel();
    this.#asked?.abort();
    this.#stream.close();
    this.#context.connection.idle();
  }

  #readSoon = throttled(() => this.#read(), AGAIN_MS);

  #filter(change) {
    Object.assign(this.#query, change);
    this.#cursors = [null];
    setQuery(this.#query);
    this.#read();
  }

  #turn(step) {
    if (step > 0 && this.#next !== null) this.#cursors.push(this.#next);
    else if (step < 0 && this.#cursors.length > 1) this.#cursors.pop();
    this.#read().then(() => this.#heading.focus());
  }

  async #read() {
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    const query = { ...this.#query, limit: PAGE, cursor: this.#cursors.at(-1) };
    try {
      const answer = await get("/batches", query, asked.signal);
      if (!answer.batches.length && this.#cursors.length > 1) {
        this.#cursors.pop();
        return this.#read();
      }
      this.#known = true;
      replace(this.#broken, errorsOf(answer.errors));
      this.#show(answer);
    } catch (error) {
      if (asked.signal.aborted) return;
      if (!this.#known) replace(this.#body, failure(error, "The batches could not be read", () => this.#retry()));
      if (!this.#known) this.#context.announce("The batches could not be read.");
    }
  }

  #retry() {
    replace(this.#body, loading(5, "Loading the batches"));
    this.#read();
    this.#stream.now();
  }

  #show(answer) {
    this.#states = answer.states;
    this.#next = answer.next;
    const all = Object.values(answer.states).reduce((sum, each) => sum + each, 0);
    this.#showFilters(all);
    this.#showTitle();
    const rows = new Map();
    for (const batch of answer.batches) {
      const row = this.#rows.get(batch.batch_id) ?? batchRow(batch.batch_id);
      row.set(batch);
      rows.set(batch.batch_id, row);
    }
    this.#rows = rows;
    this.#arrange([...rows.values()].map((row) => row.node));
    if (rows.size) {
      if (this.#body.firstChild !== this.#list) replace(this.#body, this.#list);
    } else if (all) {
      replace(this.#body, nothingFound(() => this.#clear()));
    } else if (!this.#body.querySelector(".welcome")) {
      replace(this.#body, emptyHome());
    }
    this.#showPages(answer);
  }

  /** Rows that stay are not moved: one that has the focus keeps it. */
  #arrange(nodes) {
    const wanted = new Set(nodes);
    for (const node of [...this.#list.children]) if (!wanted.has(node)) node.remove();
    nodes.forEach((node, nth) => {
      if (this.#list.children[nth] !== node) this.#list.insertBefore(node, this.#list.children[nth] ?? null);
    });
  }

  #clear() {
    this.#search.value = "";
    this.#filter({ state: "", q: "" });
    this.#search.focus();
  }

  #showFilters(all) {
    const present = STATES.filter((state) => this.#states[state] || state === this.#query.state);
    const chips = [["", "All", all], ...present.map((state) => [state, state, this.#states[state] ?? 0])];
    const old = new Map([...this.#filters.children].map((node) => [node.dataset.state, node]));
    const nodes = chips.map(([state, word, count]) => {
      const node = old.get(state) ?? this.#chip(state, word);
      node.setAttribute("aria-pressed", String(state === this.#query.state));
      setText(node.lastChild, number(count));
      return node;
    });
    if (nodes.length !== old.size || nodes.some((node) => !old.has(node.dataset.state))) replace(this.#filters, nodes);
    show(this.#filters.parentNode, all > 0);
  }

  #chip(state, word) {
    const choose = () => this.#filter({ state });
    return el("button", { type: "button", "data-state": state, onclick: choose }, `${word} `, el("span"));
  }

  #showTitle() {
    const running = (this.#states.running ?? 0) + (this.#states.filling ?? 0);
    setTitle(running ? `${number(running)} running` : "Batches");
    setIcon(running ? "running" : "", running ? 0.75 : 0);
  }

  #showPages(answer) {
    const rows = answer.batches.length;
    const before = answer.next === null ? answer.total - rows : (this.#cursors.length - 1) * PAGE;
    const shown = rows ? `${number(before + 1)} to ${number(before + rows)} of ${number(answer.total)}` : "";
    show(this.#pages, answer.total > rows);
    setText(this.#found, shown);
    this.#earlier.disabled = this.#cursors.length === 1;
    this.#later.disabled = answer.next === null;
  }

  #changed(batch) {
    const row = this.#rows.get(batch.batch_id);
    if (!row) return this.#known ? this.#readSoon() : undefined;
    const before = row.state;
    row.set(batch);
    if (before !== batch.state) {
      this.#context.announce(`${batch.batch_id} is ${batch.state}.`);
      this.#readSoon(); // the counts of the filters, and perhaps this row
    }
    return undefined;
  }
}

function errorsOf(errors) {
  return Object.entries(errors ?? {}).map(([id, text]) =>
    el("div", { class: "trouble small" }, el("strong", {}, `${id} cannot be read`), el("p", {}, text)),
  );
}

function nothingFound(clear) {
  const button = el("button", { type: "button", onclick: clear }, "Show all");
  return el("div", { class: "blank" }, el("p", { class: "lead" }, "No batch is like that."), button);
}

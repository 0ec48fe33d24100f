/** The page of one batch: puts its parts together and feeds them with what the server tells. */

import { Actions } from "./actions.js";
import { Problem, batchPath, get } from "./api.js";
import { Charts } from "./charts.js";
import { el, replace } from "./dom.js";
import { Stream } from "./events.js";
import { Failures } from "./failures.js";
import { percent } from "./format.js";
import { openItem } from "./item.js";
import { Items } from "./items.js";
import { Log } from "./log.js";
import { Overview } from "./overview.js";
import { failure, loading } from "./parts.js";
import { link } from "./router.js";
import { Settings } from "./settings.js";
import { moves } from "./states.js";
import { setIcon, setTitle } from "./title.js";
import { waitWords } from "./waits.js";

/** A server that asks to wait again and again is told of that often at most. */
const WAIT_TOLD_MS = 60_000;

/** Opens the page; see `startRouter`. */
export function openBatch(main, where, context) {
  return new BatchPage(main, where, context);
}

class BatchPage {
  #id;
  #where;
  #main;
  #context;
  #parts = null;
  #batch = null;
  #panel = null;
  #stream = null;
  #closed = false;
  #heading;
  #waitTold = -Infinity;

  constructor(main, where, context) {
    this.#id = where.parts[1];
    this.#where = where;
    this.#main = main;
    this.#context = context;
    this.#heading = el("h1", { tabindex: "-1" }, this.#id);
    setTitle(this.#id);
    setIcon();
    this.#start();
  }

  async #start() {
    replace(this.#main, crumbs(), this.#heading, loading(6, `Loading ${this.#id}`));
    try {
      const batch = await get(batchPath(this.#id));
      if (this.#closed) return;
      this.#build(batch);
      this.#listen();
      this.moved(this.#where);
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof Problem && error.status === 404) return this.#gone("There is no such batch");
      replace(this.#main, crumbs(), this.#heading, failure(error, "The batch could not be read", () => this.#start()));
    }
  }

  #build(batch) {
    const changed = (next) => this.#set(next);
    const given = { id: this.#id, batch, context: this.#context, changed };
    const overview = new Overview(given);
    const actions = new Actions({ ...given, deleted: () => this.#leave() });
    const items = new Items({ ...given, retry: (error) => actions.askRetryOf(error) }, this.#where.query);
    const failures = new Failures({ ...given, choose: (group) => items.chooseGroup(group) });
    const charts = new Charts(given);
    const settings = new Settings(given);
    const log = new Log(given);
    this.#parts = [overview, actions, charts, failures, items, settings, log];
    const head = el("div", { class: "head" }, el("div", { class: "name" }, this.#heading, overview.state), actions.node);
    const all = [overview.node, charts.node, failures.node, items.node, settings.node, log.node];
    replace(this.#main, crumbs(), head, all);
    this.#heading.focus({ preventScroll: true });
    this.#set(batch);
  }

  #listen() {
    this.#stream = new Stream(
      batchPath(this.#id, "events"),
      batchPath(this.#id),
      {
        status: (batch) => this.#set(batch),
        deleted: () => this.#gone("This batch has been deleted"),
        opened: () => get(batchPath(this.#id)).then((batch) => this.#set(batch), () => {}),
        gone: () => this.#gone("This batch has been deleted"),
      },
      this.#context.connection,
    );
  }

  #set(batch) {
    if (this.#closed) return;
    const before = this.#batch?.state ?? batch.state;
    this.#batch = batch;
    for (const part of this.#parts) part.set(batch);
    const share = batch.total_items ? batch.processed_items / batch.total_items : 0;
    const word = moves(batch.state) ? percent(batch.processed_items, batch.total_items) : batch.state;
    setTitle(word, this.#id);
    setIcon(batch.state, share);
    if (before !== batch.state) this.#tell(batch);
    if (batch.wait && batch.wait.rate === null) this.#tellWait(batch);
  }

  #tellWait(batch) {
    if (performance.now() - this.#waitTold < WAIT_TOLD_MS) return;
    this.#waitTold = performance.now();
    this.#context.announce(waitWords(batch.wait));
  }

  #tell(batch) {
    const failed = batch.failure_count ? `, ${batch.failure_count} failed` : "";
    const ended = moves(batch.state) ? "" : `: ${batch.processed_items} of ${batch.total_items} done${failed}`;
    this.#context.announce(`${batch.batch_id} is ${batch.state}${ended}.`);
  }

  /** Another address of the same page: an item's panel opens or closes. */
  moved(where) {
    this.#where = where;
    if (!this.#parts) return;
    const [, , word, seq] = where.parts;
    const wanted = word === "items" ? seq : null;
    if (this.#panel?.seq === wanted) return;
    const old = this.#panel;
    this.#panel = null;
    old?.close();
    if (wanted) {
      const closed = () => this.#panelClosed(wanted);
      this.#panel = openItem({ id: this.#id, seq: wanted, batch: () => this.#batch, context: this.#context, closed });
    }
  }

  #panelClosed(seq) {
    if (this.#panel?.seq !== seq || this.#closed) return;
    this.#panel = null;
    history.pushState(null, "", link(["batches", this.#id], Object.fromEntries(this.#where.query)));
    this.#where = { parts: ["batches", this.#id], query: this.#where.query };
  }

  #gone(words) {
    this.#shut();
    setTitle(words);
    setIcon("cancelled");
    this.#context.announce(`${words}.`);
    const back = el("a", { class: "button primary", href: link([]) }, "All batches");
    const named = el("p", { class: "note" }, this.#id);
    replace(this.#main, el("div", { class: "blank" }, el("h1", { tabindex: "-1" }, words), named, el("p", {}, back)));
  }

  #leave() {
    this.#shut();
    this.#context.announce(`${this.#id} is deleted.`);
    location.hash = link([]);
  }

  #shut() {
    this.#closed = true;
    this.#stream?.close();
    this.#context.connection.idle();
    for (const part of this.#parts ?? []) part.close?.();
    const panel = this.#panel;
    this.#panel = null;
    panel?.close();
  }

  close() {
    if (!this.#closed) this.#shut();
  }
}

function crumbs() {
  return el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: link([]) }, "← All batches"));
}

/** How a batch stands: state, reason, how far, how fast, how long still, what is in flight. */

import { el, replace, setText, show } from "./dom.js";
import { duration, moment, number, percent, rate, shorten } from "./format.js";
import { progressBar } from "./parts.js";
import { shortTarget } from "./row.js";
import { badge, meaningOf, moves } from "./states.js";
import { waitWords } from "./waits.js";

const NAME_LENGTH = 40;

export class Overview {
  #badge = badge();
  #bar;
  #about = el("p", { class: "about note" });
  #meaning = el("p", { class: "meaning" });
  #wait = el("p", { class: "reason waits", hidden: true });
  #reason = el("p", { class: "reason" });
  #summary = el("p", { class: "lead" });
  #flight = el("p", { class: "flight" });
  #tiles = new Map();
  #grid = el("dl", { class: "tiles" });
  #times = el("p", { class: "note times" });
  #running = "";

  constructor({ id }) {
    this.#bar = progressBar(`Progress of ${id}`);
    for (const name of ["Succeeded", "Failed", "Rate", "Time left", "In flight", "Retries"]) this.#addTile(name);
    const words = el("div", { class: "words" }, this.#summary, this.#meaning, this.#wait, this.#reason);
    this.node = el(
      "section",
      { class: "overview", "aria-label": "Overview" },
      this.#about, words, this.#bar.node, this.#grid, this.#flight, this.#times,
    );
    this.state = this.#badge.node;
  }

  #addTile(name) {
    const value = el("dd");
    const note = el("dd", { class: "note" });
    const label = el("dt", {}, name);
    this.#tiles.set(name, { label, value, note });
    this.#grid.append(el("div", { "data-tile": name }, label, value, note));
  }

  #tile(name, value, note = "", label = name) {
    const tile = this.#tiles.get(name);
    setText(tile.label, label);
    setText(tile.value, value);
    setText(tile.note, note);
  }

  set(batch) {
    const { total_items: all, processed_items: done } = batch;
    this.#badge.set(batch.state, meaningOf(batch));
    this.#bar.set(batch);
    setText(this.#about, `${shortTarget(batch.spec.target)} over ${batch.spec.source.name}`);
    const isRead = batch.input_done || all > 0;
    setText(this.#summary, isRead ? `${number(done)} of ${number(all)} done, ${percent(done, all)}` : "Not read yet");
    const words = meaningOf(batch);
    setText(this.#meaning, words);
    show(this.#meaning, words !== "");
    setText(this.#wait, batch.wait ? waitWords(batch.wait) : "");
    show(this.#wait, Boolean(batch.wait));
    setText(this.#reason, batch.reason ?? "");
    show(this.#reason, Boolean(batch.reason));
    const active = moves(batch.state);
    const how = [batch.recovered && `${number(batch.recovered)} after retries`, batch.reused && `${number(batch.reused)} reused`];
    this.#tile("Succeeded", number(batch.success_count), how.filter(Boolean).join(", "));
    this.#tile("Failed", number(batch.failure_count), done ? `${percent(batch.failure_count, done)} of what is done` : "");
    this.#grid.querySelector("[data-tile=Failed]").dataset.some = String(batch.failure_count > 0);
    this.#showPace(batch, active);
    this.#tile("In flight", number(batch.in_flight), `of ${number(batch.spec.concurrency)} at a time`);
    const cut = batch.interruptions ? `${number(batch.interruptions)} cut short by a crash` : "";
    this.#tile("Retries", number(batch.retries), cut);
    this.#showFlight(batch);
    this.#showTimes(batch);
  }

  #showPace(batch, active) {
    const took = batch.completed_at ? (Date.parse(batch.completed_at) - Date.parse(batch.started_at)) / 1000 : null;
    if (!active && took !== null) {
      this.#tile("Rate", took > 0 ? rate(batch.processed_items / took) : "–", "on average");
      this.#tile("Time left", duration(took), "from begin to end", "Took");
      return;
    }
    const left = batch.remaining_seconds;
    this.#tile("Rate", batch.items_per_second ? rate(batch.items_per_second) : "–", active ? "last seconds" : "");
    this.#tile("Time left", left === null ? "–" : duration(left), batch.state === "filling" ? "the input is still being read" : "");
  }

  #showFlight(batch) {
    const key = JSON.stringify([batch.running, batch.in_flight > batch.running.length]);
    if (key === this.#running) return;
    this.#running = key;
    const names = batch.running.map((name) => el("code", {}, shorten(String(name), NAME_LENGTH)));
    const more = batch.in_flight > batch.running.length ? ["and others"] : [];
    replace(this.#flight, names.length ? ["Now: ", ...names, ...more].flatMap((each) => [each, " "]) : []);
    this.#flight.dataset.idle = String(!moves(batch.state));
  }

  #showTimes(batch) {
    const key = `${batch.created_at} ${batch.started_at} ${batch.completed_at}`;
    if (this.#times.dataset.key === key) return;
    this.#times.dataset.key = key;
    const words = ["Created ", moment(batch.created_at)];
    if (batch.started_at) words.push(", begun ", moment(batch.started_at));
    if (batch.completed_at) words.push(", ended ", moment(batch.completed_at));
    replace(this.#times, words);
  }
}

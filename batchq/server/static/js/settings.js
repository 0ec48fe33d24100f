/** What a batch was asked for: its function, its input and its limits. */

import { el, replace } from "./dom.js";
import { duration, moment, number, size } from "./format.js";

export class Settings {
  #rows = el("tbody");
  #shown = "";

  constructor() {
    const table = el("table", { class: "settings" }, this.#rows);
    const box = el("details", {}, el("summary", {}, el("h2", {}, "Settings")), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Settings" }, table));
    this.node = el("section", { class: "setup", "aria-label": "Settings of the batch" }, box);
  }

  set(batch) {
    const key = JSON.stringify([batch.spec, batch.priority, batch.holder, batch.spent, batch.skipped]);
    if (key === this.#shown) return;
    this.#shown = key;
    const rows = linesOf(batch).filter(([, value]) => value !== null && value !== "" && value !== undefined);
    replace(this.#rows, rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))));
  }
}

function linesOf(batch) {
  const { spec } = batch;
  const { source } = spec;
  const amounts = (values) => Object.entries(values ?? {}).map(([name, value]) => `${number(value)} ${name}`).join(", ");
  return [
    ["Function", spec.target],
    ["Further stages", spec.stages?.join(", ")],
    ["Set-up", spec.setup],
    ["Input", `${source.name} (${source.format}${source.size === null ? "" : `, ${size(source.size)}`})`],
    ["Records read at most", source.limit === null ? null : number(source.limit)],
    ["Part of the input", source.shard],
    ["Left out of the input", amounts(batch.skipped)],
    ["Items at a time", `${number(spec.concurrency)}${spec.adaptive ? ", fewer while what they call is overloaded" : ""}`],
    ["Worker processes at most", number(spec.workers)],
    ["Timeout of an attempt", spec.timeout === null ? "none" : duration(spec.timeout)],
    ["Attempts of an item at most", number(spec.retry_attempts)],
    ["Wait before the second attempt", `${duration(spec.retry_delay)}, then ${spec.retry_backoff} times as long each time`],
    ["Rates", spec.rates.join(", ")],
    ["Budgets", spec.budgets.join(", ")],
    ["Spent", amounts(batch.spent)],
    ["Halts at", spec.halt ? `${spec.halt} failures` : null],
    ["Deadline", spec.deadline === null ? null : moment(new Date(spec.deadline * 1000).toISOString())],
    ["Free memory needed", spec.memfree === null ? null : size(spec.memfree)],
    ["Priority", batch.priority ? number(batch.priority) : null],
    ["Durability", spec.durability],
    ["Supervised by", batch.holder],
  ];
}

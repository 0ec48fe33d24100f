/** How a batch went, drawn: rate, latency, in flight, retries over time; all times; the attempts that items needed. */

import { batchPath, get } from "./api.js";
import { Chart } from "./chart.js";
import { el, throttled } from "./dom.js";
import { clock, count, duration, number } from "./format.js";
import { moves } from "./states.js";

const AGAIN_MS = 2000;

export class Charts {
  #id;
  #seen = null;
  #closed = false;
  #all;
  #rate = new Chart("Rate over time", ["Time", "Succeeded", "Failed"], { unit: "items/s", stacked: true });
  #pace = new Chart("Latency over time", ["Time", "Mean time in the function"], { unit: "time", words: duration });
  #flight = new Chart("In flight over time", ["Time", "Items at a time"], { unit: "items" });
  #retries = new Chart("Retries over time", ["Time", "Retries"], { unit: "retries", kinds: ["wait"] });
  #latency = new Chart("Time in the function", ["Up to", "Items"], { unit: "items" });
  #tries = new Chart("Attempts needed", ["Attempts", "Succeeded", "Failed"], { unit: "items", stacked: true });

  constructor({ id }) {
    this.#id = id;
    this.#all = [this.#rate, this.#pace, this.#flight, this.#latency, this.#tries, this.#retries];
    this.node = el("section", { class: "charts", "aria-label": "How it goes" },
      el("h2", { class: "hidden" }, "How it goes"), this.#all.map((chart) => chart.node));
    this.node.hidden = true;
  }

  set(batch) {
    const seen = `${batch.processed_items} ${batch.attempts} ${batch.state}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    if (batch.attempts === 0 && batch.processed_items === 0) this.node.hidden = true;
    else if (moves(batch.state)) this.#readSoon();
    else this.#read();
  }

  close() {
    this.#closed = true;
    this.#readSoon.cancel();
    for (const chart of this.#all) chart.close();
  }

  #readSoon = throttled(() => this.#read(), AGAIN_MS);

  async #read() {
    try {
      const history = await get(batchPath(this.#id, "history"));
      if (this.#closed) return;
      this.node.hidden = false;
      this.#showOverTime(history.intervals);
      this.#showLatency(history.latency, history.percentiles);
      this.#showTries(history.tries);
    } catch {
      // What was drawn stays; the bar says that the server does not answer.
    }
  }

  #showOverTime(intervals) {
    const starts = intervals.map((each) => each.start);
    const perSecond = (name) => intervals.map((each) => each[name] / each.seconds);
    const best = Math.max(0, ...intervals.map((each) => (each.success + each.failed) / each.seconds));
    this.#rate.set({
      times: starts,
      step: intervals[0]?.seconds ?? 1,
      values: [perSecond("success"), perSecond("failed")],
      labels: starts.map(clock),
      summary: intervals.length ? `${count(intervals.reduce((sum, each) => sum + each.success + each.failed, 0), "outcome")}, at most ${number(Math.round(best * 10) / 10)} items/s` : "",
    });
    const retries = intervals.map((each) => each.retries ?? 0);
    const sum = retries.reduce((all, each) => all + each, 0);
    showLine(this.#retries, intervals, retries, sum > 0, count(sum, "retry", "retries"));
    this.#showPace(intervals);
  }

  /** Files of an earlier batchq do not tell it. */
  #showPace(intervals) {
    const latency = intervals.map((each) => each.latency);
    const known = latency.filter((each) => each !== null);
    showLine(this.#pace, intervals, latency, known.length > 0, `Mean of the items that ended, at most ${duration(Math.max(0, ...known))}`);
    const flight = intervals.map((each) => each.in_flight);
    const most = Math.max(0, ...flight);
    showLine(this.#flight, intervals, flight, known.length > 0, `Mean of the items that have ended since, at most ${number(Math.round(most * 10) / 10)}`);
  }

  #showLatency(latency, percentiles) {
    const used = trimmed(latency);
    const named = ["p50", "p90", "p99"].filter((name) => percentiles?.[name] !== null && percentiles?.[name] !== undefined);
    const words = { p50: "half within", p90: "90% within", p99: "99% within" };
    this.#latency.node.hidden = used.length === 0;
    this.#latency.set({
      values: [used.map((each) => each.count)],
      labels: used.map((each) => (each.le === null ? "more" : duration(each.le))),
      summary: named.map((name) => `${words[name]} ${duration(percentiles[name])}`).join(", "),
    });
  }

  #showTries(tries) {
    this.#tries.node.hidden = tries.length === 0;
    const again = tries.filter((each) => each.attempts > 1).reduce((sum, each) => sum + each.success, 0);
    this.#tries.set({
      values: [tries.map((each) => each.success), tries.map((each) => each.failed)],
      labels: tries.map((each) => String(each.attempts)),
      summary: again ? `${count(again, "item")} succeeded after a retry` : "None succeeded after a retry",
    });
  }
}

/** One series over time; the chart is not there where there is nothing to show. */
function showLine(chart, intervals, values, isThere, summary) {
  chart.node.hidden = !isThere;
  if (!isThere) return;
  const times = intervals.map((each) => each.start);
  chart.set({ times, step: intervals[0].seconds, values: [values], labels: times.map(clock), summary });
}

/** The part of a histogram that has something in it. */
function trimmed(buckets) {
  const first = buckets.findIndex((each) => each.count > 0);
  if (first < 0) return [];
  const last = buckets.findLastIndex((each) => each.count > 0);
  return buckets.slice(first, last + 1);
}

/** One batch in the list. */

import { el, setText, show } from "./dom.js";
import { count, duration, moment, number, percent, rate, shorten } from "./format.js";
import { progressBar } from "./parts.js";
import { link } from "./router.js";
import { badge, isLeft, meaningOf, moves } from "./states.js";
import { waitNote } from "./waits.js";

/**
 * A row that is made once and then changed, so that nothing jumps and no focus is lost.
 * @returns `{node, state, set(batch)}`
 */
export function batchRow(id) {
  const state = badge();
  const bar = progressBar(`Progress of ${id}`);
  const target = el("span", { class: "target" });
  const made = el("span", { class: "made" });
  const share = el("strong", { class: "share" });
  const counts = el("span", { class: "counts" });
  const failed = el("span", { class: "failed" });
  const pace = el("span", { class: "pace" });
  const priority = el("span", { class: "priority" });
  const name = el("a", { class: "name", href: link(["batches", id]) }, id);
  const node = el(
    "li",
    { class: "batch" },
    el("div", { class: "who" }, name, el("div", { class: "note" }, target, made)),
    el("div", { class: "where" }, state.node, priority),
    el("div", { class: "far" }, el("div", { class: "line" }, share, counts, failed), bar.node),
    pace,
  );
  const row = { node, state: "", set };
  function set(batch) {
    row.state = batch.state;
    state.set(batch.state, meaningOf(batch));
    bar.set(batch);
    setText(target, shortTarget(batch.spec.target));
    if (!made.firstChild) made.append(moment(batch.created_at));
    setText(share, percent(batch.processed_items, batch.total_items));
    setText(counts, countsWords(batch));
    setText(failed, batch.failure_count ? `${number(batch.failure_count)} failed` : "");
    setText(pace, paceWords(batch));
    show(priority, Boolean(batch.priority));
    setText(priority, `priority ${batch.priority}`);
  }
  return row;
}

function countsWords(batch) {
  const { processed_items: done, total_items: all } = batch;
  if (!batch.input_done && all === 0) return "not read yet";
  if (!batch.input_done) return `${number(done)} of ${number(all)} or more`;
  return done === all ? count(all, "item") : `${number(done)} of ${number(all)}`;
}

/** What one wants to know of a batch at a glance: how long still, or how it went. */
function paceWords(batch) {
  if (batch.wait) return waitNote(batch.wait);
  if (batch.remaining_seconds !== null && moves(batch.state)) {
    return `${duration(batch.remaining_seconds)} left · ${rate(batch.items_per_second)}`;
  }
  if (batch.items_per_second) return rate(batch.items_per_second);
  if (batch.reason) return shorten(batch.reason, 90);
  if (batch.completed_at && batch.started_at) {
    return `took ${duration((Date.parse(batch.completed_at) - Date.parse(batch.started_at)) / 1000)}`;
  }
  if (batch.state === "queued") return isLeft(batch) ? "nobody runs it: resume it" : "waits for its turn";
  return batch.retries ? count(batch.retries, "retry", "retries") : "";
}

/** A target without the folders of its file. */
export function shortTarget(target) {
  return target.replace(/^.*\//, "");
}

/** Results and report as files. */

import { Offline, address, batchPath, problemOf } from "./api.js";
import { openDialog } from "./dialog.js";
import { el } from "./dom.js";
import { count } from "./format.js";
import { alertBox, field } from "./parts.js";

const FORMATS = [["jsonl", "JSON lines"], ["csv", "CSV, for a spreadsheet"], ["tsv", "TSV"], ["parquet", "Parquet"]];
const WHICH = [["", "All outcomes"], ["success", "Only what succeeded"], ["failed", "Only what failed"]];
const REPORTS = [["html", "A page with charts"], ["json", "JSON"], ["csv", "CSV"], ["text", "Text"]];
const SMALL_BYTES = 8 * 1024 * 1024;
const KEPT_MS = 60_000; // a browser may still ask where to save it

/** Opens the choice of what to download. */
export function openDownloads(id, batch) {
  const wrong = alertBox();
  const format = choice("format", "Format", FORMATS);
  const only = choice("only", "Which", WHICH);
  const withInput = field("with_input", "With the items themselves", el("input", { type: "checkbox" }));
  const report = choice("report", "Report", REPORTS);
  const results = el("form", { class: "download" },
    el("h3", {}, "Results"),
    el("p", { class: "note" }, `${count(batch.processed_items, "outcome")} so far.`),
    el("div", { class: "fields" }, format.node, only.node, withInput.node),
    el("button", { type: "submit", class: "primary" }, "Download results"),
  );
  const other = el("form", { class: "download" },
    el("h3", {}, "Report"),
    el("div", { class: "fields" }, report.node),
    el("button", { type: "submit", class: "primary" }, "Download report"),
  );
  results.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = { format: format.control.value, only: only.control.value };
    if (withInput.control.checked) asked.with_input = "true";
    save(address(batchPath(id, "results"), asked), wrong);
  });
  other.addEventListener("submit", (event) => {
    event.preventDefault();
    save(address(batchPath(id, "report"), { format: report.control.value }), wrong);
  });
  openDialog("Download", "form", el("div", { class: "dialog-body" }, results, other, wrong.node));
}

function choice(name, label, options) {
  const select = el("select", {}, options.map(([value, words]) => el("option", { value }, words)));
  return field(name, label, select);
}

/** Fetches it, as a download by a link says nothing of why it fails; a large one is left to such a link after all. */
async function save(url, wrong) {
  wrong.clear();
  const asked = new AbortController();
  try {
    const answer = await fetch(url, { signal: asked.signal });
    if (!answer.ok) throw await problemOf(answer);
    const whole = await small(answer);
    if (!whole) return click({ href: url, download: "" });
    const href = URL.createObjectURL(whole);
    click({ href, download: nameOf(answer) });
    setTimeout(() => URL.revokeObjectURL(href), KEPT_MS);
  } catch (error) {
    wrong.set(error instanceof TypeError ? new Offline() : error);
  } finally {
    asked.abort();
  }
  return undefined;
}

/** All of an answer; null where it is too large to be kept in memory. */
async function small(answer) {
  const pieces = [];
  const reader = answer.body.getReader();
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(pieces, { type: answer.headers.get("Content-Type") });
    size += value.length;
    if (size > SMALL_BYTES) return null;
    pieces.push(value);
  }
}

function nameOf(answer) {
  return /filename="([^"]*)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? "";
}

function click(attributes) {
  const link = el("a", attributes);
  document.body.append(link);
  link.click();
  link.remove();
}

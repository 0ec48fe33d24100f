/** Results and report as files. */

import { Offline, address, batchPath, problemOf } from "./api.js";
import { openDialog } from "./dialog.js";
import { el } from "./dom.js";
import { count } from "./format.js";
import { alertBox, field } from "./parts.js";

const FORMATS = [["jsonl", "JSON lines"], ["csv", "CSV, for a spreadsheet"], ["tsv", "TSV"], ["parquet", "Parquet"]];
const WHICH = [["", "All outcomes"], ["success", "Only what succeeded"], ["failed", "Only what failed"]];
const REPORTS = [["html", "A page with charts"], ["json", "JSON"], ["csv", "CSV"], ["text", "Text"]];

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

/** Asks first whether the server can give it: a download that fails says nothing of why. */
async function save(url, wrong) {
  wrong.clear();
  const first = new AbortController();
  try {
    const answer = await fetch(url, { signal: first.signal });
    if (!answer.ok) throw await problemOf(answer);
  } catch (error) {
    return wrong.set(error instanceof TypeError ? new Offline() : error);
  } finally {
    first.abort();
  }
  const link = el("a", { href: url, download: "" });
  document.body.append(link);
  link.click();
  link.remove();
  return undefined;
}

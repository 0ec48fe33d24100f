/** The form that changes the limits of a batch; only what was changed is sent. */

import { Problem, batchPath, patch } from "./api.js";
import { shown, sent } from "./deadline.js";
import { openDialog } from "./dialog.js";
import { el } from "./dom.js";
import { alertBox, field } from "./parts.js";

const UNITS = [["G", 2 ** 30], ["M", 2 ** 20], ["K", 2 ** 10]];

/** Names as the API has them: label, hint, the value now, and a typed text as the API takes it. */
const FIELDS = [
  ["concurrency", "Items at a time", "", (batch) => batch.spec.concurrency, whole],
  ["timeout", "Timeout of an attempt, seconds", "Empty for none", (batch) => batch.spec.timeout ?? "", (text) => (text ? number(text) : 0)],
  ["retry_attempts", "Attempts of an item", "The first included", (batch) => batch.spec.retry_attempts, whole],
  ["priority", "Priority", "Higher runs first while it is queued", (batch) => batch.priority ?? 0, whole],
  ["rate", "Rates", "600/m, tokens=90k/m", (batch) => batch.spec.rates.join(", "), list],
  ["budget", "Budgets", "usd=20", (batch) => batch.spec.budgets.join(", "), list],
  ["halt", "Halt at so many failures", "100, or 20%", (batch) => batch.spec.halt ?? "", orNone],
  ["deadline", "Deadline", "2h from now, or by your clock: 18:30, 2026-12-01 18:30", (batch) => shown(batch.spec.deadline), (text) => orNone(sent(text))],
  ["memfree", "Free memory needed", "2G", (batch) => bytes(batch.spec.memfree), orNone],
];
/** Errors that are about one field, whatever they say. */
const FIELD_OF = { BatchExists: "batch_id", BatchIdError: "batch_id" };
const NUMERIC = new Set(["concurrency", "timeout", "retry_attempts", "priority"]);

/**
 * Opens the form.
 * @param changed is given the batch as it is after the change.
 */
export function openLimits(id, batch, changed) {
  const wrong = alertBox();
  const fields = new Map();
  for (const [name, label, hint, now] of FIELDS) {
    const mode = NUMERIC.has(name) ? "numeric" : null;
    const input = el("input", { type: "text", inputmode: mode, autocomplete: "off", spellcheck: "false" });
    input.value = String(now(batch));
    fields.set(name, field(name, label, input, hint));
  }
  const adaptive = el("input", { type: "checkbox" });
  adaptive.checked = batch.spec.adaptive;
  const box = field("adaptive", "Fewer items at a time while what they call is overloaded", adaptive);
  fields.set("adaptive", box);
  const no = el("button", { type: "button", onclick: () => dialog.close() }, "Not now");
  const save = el("button", { type: "submit", class: "primary" }, "Change limits");
  const grid = el("div", { class: "fields" }, [...fields.values()].map((each) => each.node));
  const form = el(
    "form",
    { novalidate: true },
    el("div", { class: "dialog-body" }, el("p", { class: "note" }, "They hold within a second, also while it runs."), grid, wrong.node),
    el("div", { class: "dialog-foot" }, no, save),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (save.getAttribute("aria-busy")) return;
    wrong.clear();
    for (const each of fields.values()) each.fail("");
    const changes = changesOf(batch, fields);
    if (!Object.keys(changes).length) return dialog.close();
    save.setAttribute("aria-busy", "true");
    try {
      changed(await patch(batchPath(id), changes));
      dialog.close();
    } catch (error) {
      failAt(fields, wrong, error);
    }
    save.removeAttribute("aria-busy");
  });
  const dialog = openDialog("Limits", "form", form);
  fields.get("concurrency").control.focus();
}

function changesOf(batch, fields) {
  const changes = {};
  for (const [name, , , now, sent] of FIELDS) {
    const text = fields.get(name).control.value.trim();
    if (text !== String(now(batch))) changes[name] = sent(text);
  }
  const { checked } = fields.get("adaptive").control;
  if (checked !== batch.spec.adaptive) changes.adaptive = checked;
  return changes;
}

/** Shows an error beside the field that it is about, or below all of them. */
export function failAt(fields, wrong, error) {
  const field = error instanceof Problem ? fields.get(FIELD_OF[error.kind] ?? error.field) : null;
  if (!field) return wrong.set(error);
  const text = error.message.replace(/^-*[a-z_-]+(?:\.\d+)* must be/, "Must be");
  field.fail(error.hint ? `${text}. ${error.hint}` : text);
  field.control.focus();
  return undefined;
}

/** A number, or the text for the server to refuse. */
function number(text) {
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function whole(text) {
  return /^-?\d+$/.test(text) ? Number(text) : text;
}

function orNone(text) {
  return text || "none";
}

/** All of them instead of those that were there. */
function list(text) {
  return ["none", ...text.split(/[,;\s]+/).filter(Boolean)];
}

function bytes(value) {
  if (value === null) return "";
  const [unit, size] = UNITS.find(([, each]) => value % each === 0) ?? ["", 1];
  return `${value / size}${unit}`;
}

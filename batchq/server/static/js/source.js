/** Where the items of a new batch come from: a file that is chosen or dropped, or pasted text; with a preview. */

import { el, freshId, replace, setText, settled, show } from "./dom.js";
import { size } from "./format.js";
import { alertBox } from "./parts.js";
import { Preview } from "./preview.js";

const TYPING_MS = 500;
const ACCEPTED = ".jsonl,.ndjson,.json,.csv,.tsv,.txt,.parquet,.arrow,.feather,.gz,.bz2,.zst";

export class ItemSource {
  #file = null;
  #pasted = null;
  #changed;
  #wrong = alertBox();
  #preview;
  #picker = el("input", { type: "file", accept: ACCEPTED, id: freshId("file") });
  #chosen = el("p", { class: "chosen", role: "status" });
  #text = el("textarea", { rows: "8", spellcheck: "false", id: freshId("text") });
  #drop;
  #panes;
  #radios;

  /** Bytes that an upload may have; null while that is not known. */
  most = null;

  /**
   * @param changed is called when the items are others.
   * @param reading tells how the file is to be read, as options of the API.
   */
  constructor(changed, reading) {
    this.#changed = changed;
    this.#preview = new Preview(reading);
    this.#drop = el("div", { class: "drop" },
      el("label", { for: this.#picker.id }, "Drop a file here, or choose one"),
      this.#picker, this.#chosen,
      el("p", { class: "hint" }, "JSON lines, JSON, CSV, TSV, text (a line an item), Parquet or Arrow, also compressed"));
    const paste = el("div", { class: "paste" },
      el("label", { for: this.#text.id }, "Pasted items"),
      this.#text,
      el("p", { class: "hint" }, "A line an item, as JSON or as text; or a JSON array"));
    this.#panes = { file: this.#drop, paste };
    const name = freshId("source");
    this.#radios = [["file", "A file"], ["paste", "Paste items"]].map(([value, words]) => {
      const radio = el("input", { type: "radio", name, value, checked: value === "file", onchange: () => this.#turn() });
      return el("label", { class: "radio" }, radio, words);
    });
    const choice = el("fieldset", { class: "segments" }, el("legend", { class: "hidden" }, "Where the items come from"), this.#radios);
    this.node = el("div", { class: "source" }, choice, this.#drop, paste, this.#wrong.node, this.#preview.node);
    this.#picker.addEventListener("change", () => this.#take(this.#picker.files[0] ?? null));
    this.#text.addEventListener("input", settled(() => this.#takeText(), TYPING_MS));
    this.#listenToDrops();
    this.#turn();
  }

  get #mode() {
    return this.node?.querySelector("input[type=radio]:checked")?.value ?? "file";
  }

  #turn() {
    for (const [name, pane] of Object.entries(this.#panes)) show(pane, name === this.#mode);
    this.#renew();
  }

  #listenToDrops() {
    const over = (is) => (event) => {
      event.preventDefault();
      this.#drop.classList.toggle("over", is);
    };
    this.#drop.addEventListener("dragover", over(true));
    this.#drop.addEventListener("dragleave", over(false));
    this.#drop.addEventListener("drop", (event) => {
      over(false)(event);
      const { files } = event.dataTransfer;
      if (!files.length) return;
      this.#picker.files = files;
      this.#take(files[0]);
    });
  }

  #take(file) {
    this.#file = file;
    this.#renew();
  }

  #takeText() {
    const text = this.#text.value;
    this.#pasted = text.trim() ? new File([text], nameOf(text)) : null;
    this.#renew();
  }

  #renew() {
    const file = this.#current;
    this.#wrong.clear();
    setText(this.#chosen, this.#file ? size(this.#file.size) : "");
    this.#changed();
    if (file && this.most !== null && file.size > this.most) this.fail(new Error(`This file is larger than ${size(this.most)}, which is what the server takes.`));
    this.#preview.show(file);
  }

  get #current() {
    return this.#mode === "file" ? this.#file : this.#pasted;
  }

  /** The options that say how it is read are others. */
  previewSoon() {
    this.#preview.show(this.#current);
  }

  /** The file, or null where there is none, which is told. */
  check() {
    if (this.#mode === "paste") this.#takeText();
    const file = this.#current;
    this.#wrong.clear();
    if (!file) this.#wrong.set(new Error(this.#mode === "file" ? "Choose a file." : "Paste some items."));
    return file;
  }

  fail(error) {
    this.#wrong.set(error);
    this.focus();
  }

  focus() {
    (this.#mode === "file" ? this.#picker : this.#text).focus();
  }

  close() {
    this.#preview.close();
  }
}

/** Pasted text as a file: of JSON where it is JSON, else each line is an item. */
function nameOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines[0].startsWith("[") && isJson(text)) return "pasted.json";
  return lines.every((line) => /^[[{"]/.test(line) && isJson(line)) ? "pasted.jsonl" : "pasted.txt";
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

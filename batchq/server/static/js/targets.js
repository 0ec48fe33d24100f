/** The choice of one function that the owner has allowed, or its name where patterns leave others open. */

import { el, replace, show } from "./dom.js";
import { field } from "./parts.js";

const OTHER = "\0";

export class TargetField {
  #select = el("select");
  #other = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "package.module:function" });
  #choice;
  #named;
  #changed;

  /**
   * @param {string} name of the setting.
   * @param {string} label above the choice.
   * @param {string} otherLabel above the name of another one.
   * @param {function()} changed is called when it is another one.
   */
  constructor(name, label, otherLabel, changed) {
    this.#choice = field(name, label, this.#select);
    this.#named = field(name, otherLabel, this.#other);
    this.#changed = changed;
    this.#select.addEventListener("change", () => this.#show());
    this.#other.addEventListener("input", changed);
    this.nodes = [this.#choice.node, this.#named.node];
    this.node = el("div", { class: "target-field" }, this.nodes);
  }

  /**
   * Fills the choice.
   * @param {string[]} targets
   * @param {boolean} isOpen others may be named.
   * @param {string} none what stands for no choice; empty where there is to be none such.
   */
  offer(targets, isOpen, none) {
    const known = targets.map((target) => el("option", { value: target }, target.replace(/^.*\//, "")));
    const first = none ? [el("option", { value: "" }, none)] : [];
    replace(this.#select, first, known, isOpen ? [el("option", { value: OTHER }, "Another one …")] : []);
    this.#show();
  }

  #show() {
    show(this.#named.node, this.#isOther);
    this.fail("");
    this.#changed();
  }

  get #isOther() {
    return this.#select.value === OTHER;
  }

  get #field() {
    return this.#isOther ? this.#named : this.#choice;
  }

  /** The target; empty where none is chosen. */
  get value() {
    return this.#field.control.value.trim();
  }

  /** An empty text takes the error away. */
  fail(text) {
    this.#choice.fail("");
    this.#named.fail("");
    if (text) this.#field.fail(text);
  }

  focus() {
    this.#field.control.focus();
  }
}

/** Dialogs: the browser's own, which keep the focus inside, close with Escape and give the focus back. */

import { el, freshId } from "./dom.js";
import { alertBox } from "./parts.js";

/**
 * Opens a dialog.
 * @param {string} title its name.
 * @param {string} kind a class for its looks.
 * @param {...Node} content what stands below the title.
 * @returns {HTMLDialogElement} it is removed when it closes.
 */
export function openDialog(title, kind, ...content) {
  const id = freshId("dialog");
  const opener = document.activeElement;
  const close = el("button", { type: "button", class: "quiet close", "aria-label": "Close" }, "×");
  const head = el("div", { class: "dialog-head" }, el("h2", { id, tabindex: "-1" }, title), close);
  const dialog = el("dialog", { class: kind, "aria-labelledby": id }, head, content);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && isOutside(dialog, event) && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    giveBack(opener);
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** The browser gives the focus back itself, where what had it is still there. */
function giveBack(opener) {
  if (opener?.isConnected && opener.checkVisibility?.() !== false && opener !== document.body) opener.focus();
  else document.querySelector("main h1")?.focus();
}

function isOutside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  const { clientX: x, clientY: y } = event;
  return x < box.left || x > box.right || y < box.top || y > box.bottom;
}

/**
 * Asks before something is done that cannot be undone, or that is much.
 * @param {string} title the question.
 * @param {Array<Node|string>} body what it means.
 * @param {string} verb on the button that does it.
 * @param {boolean} danger something is lost.
 * @param {function(): Promise} act does it; the dialog stays, with the reason, where that fails.
 */
export function confirm({ title, body, verb, danger = false, act }) {
  const wrong = alertBox();
  const no = el("button", { type: "button" }, danger ? "Keep it as it is" : "Not now");
  const yes = el("button", { type: "button", class: danger ? "danger" : "primary" }, verb);
  const foot = el("div", { class: "dialog-foot" }, no, yes);
  const dialog = openDialog(title, "question", el("div", { class: "dialog-body" }, body, wrong.node), foot);
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", async () => {
    if (yes.getAttribute("aria-busy")) return;
    yes.setAttribute("aria-busy", "true");
    wrong.clear();
    try {
      await act();
      dialog.close();
    } catch (error) {
      wrong.set(error);
    }
    yes.removeAttribute("aria-busy");
  });
  (danger ? no : yes).focus();
}

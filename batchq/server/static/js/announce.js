/** Tells a screen reader what has changed: changes of state and errors, not every tick. */

/**
 * @param {HTMLElement} polite a live region.
 * @returns a function that says a text, each once.
 */
export function announcer(polite) {
  return (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    polite.append(line);
    while (polite.childElementCount > 5) polite.firstElementChild.remove();
  };
}

/** Builds pages from nodes. What comes from outside is only ever put in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 * @param {string} tag
 * @param {Object} attributes by name; `onclick` and the like are listeners; null, undefined and false are left out.
 * @param {...(Node|string|number|Array|null|false)} children texts become text nodes.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

/** Sets a text, and touches nothing where it is that already: screen readers and selections stay where they are. */
export function setText(node, text) {
  const value = String(text ?? "");
  if (node.textContent !== value) node.textContent = value;
}

/** Sets an attribute where it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Puts other children in. */
export function replace(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

/** Shows a node or hides it. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

let made = 0;
/** An id for a node that another one has to name. */
export function freshId(word) {
  made += 1;
  return `${word}-${made}`;
}

/** Runs `act` now, then at most once in `milliseconds` however often it is called; `cancel` forgets what is due. */
export function throttled(act, milliseconds) {
  let timer = null;
  let last = -Infinity;
  const call = () => {
    if (timer !== null) return;
    const wait = Math.max(0, last + milliseconds - performance.now());
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      act();
    }, wait);
  };
  call.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return call;
}

/** Runs `act` once nobody has called for `milliseconds`. */
export function settled(act, milliseconds) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}

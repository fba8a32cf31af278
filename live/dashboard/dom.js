/** Elements made and changed. Text is always text, never HTML. */

/** The element with an id of the page. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with attributes and children (elements or text). */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A new SVG element with attributes. */
export function drawing(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Set an element's text where it differs; return whether it did. */
export function setText(target, text) {
  if (target.textContent === text) return false;
  target.textContent = text;
  return true;
}

/** Set attributes; null or undefined removes one. */
export function setAttributes(target, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) target.removeAttribute(key);
    else if (target.getAttribute(key) !== String(value)) target.setAttribute(key, value);
  }
}

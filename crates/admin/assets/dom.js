// Elements made from values. All text goes in as text nodes, never as HTML.

/** An element: `h('td', {class: 'n', onclick: f}, 'text', node, …)`. Children that are null or false are left out. */
export function h(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value == null || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'value') node.value = value;
    else node.setAttribute(key, value === true ? '' : value);
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** An icon of icons.svg. It says nothing by itself: the button around it has the words. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Sets the text of a node, if it is another one. */
export function text(node, value) {
  const string = String(value ?? '');
  if (node.textContent !== string) node.textContent = string;
}

/** Sets or removes an attribute, if that changes anything. */
export function attribute(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Shows a node or hides it. */
export function show(node, visible) {
  node.hidden = !visible;
}

/** Replaces what is in a node when `key`, which stands for it, has changed. */
export function fill(node, key, make) {
  if (node.filledWith === key) return;
  node.filledWith = key;
  node.replaceChildren();
  add(node, [make()]);
}

/**
 * Keeps one child of `parent` per item, in their order: a child stays the same element as long as its item is there, so
 * that focus, selection and scrolling survive an update. `make(item)` gives `{node, update(item)}`.
 */
export function keyed(parent, items, key, make) {
  const known = (parent.keyed ??= new Map());
  const left = new Set(known.keys());
  let place = parent.firstChild;
  // What is there besides, as the head of a table, stays in front.
  while (place && !place.isKeyed) place = place.nextSibling;
  for (const item of items) {
    const id = key(item);
    let row = known.get(id);
    if (!row) known.set(id, (row = make(item)));
    row.node.isKeyed = true;
    left.delete(id);
    row.update?.(item);
    if (row.node === place) place = place.nextSibling;
    else parent.insertBefore(row.node, place);
  }
  for (const id of left) {
    known.get(id).node.remove();
    known.delete(id);
  }
}

/** A button with an icon, and words for those who do not see it. */
export function iconButton(name, label, onclick, properties) {
  return h('button', {type: 'button', class: 'icon-button', title: label, 'aria-label': label, onclick, ...properties}, icon(name));
}

/** A panel: a heading, what belongs beside it, and the content. */
export function panel(title, aside, ...content) {
  return h('section', {class: 'panel'}, h('div', {class: 'panel-head'}, h('h2', null, title), aside), content);
}

/**
 * A table whose rows become cards on a phone. `columns` are `[title, class]`; the class says width and alignment. The
 * roles are spelled out because a table that is laid out as cards loses them.
 */
export function table(label, columns) {
  const body = h('tbody', {role: 'rowgroup'});
  const head = columns.map(([title, kind]) =>
    h('th', {role: 'columnheader', scope: 'col', class: kind}, title || h('span', {class: 'unseen'}, 'Actions')));
  const node = h('table', {role: 'table', 'aria-label': label},
    h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, head)), body);
  const row = (properties, ...cells) => h('tr', {role: 'row', ...properties}, cells.map((cell, i) => {
    const [title, kind] = columns[i];
    return h('td', {role: 'cell', class: kind || 'text', 'data-label': title}, cell);
  }));
  return {node, body, row};
}

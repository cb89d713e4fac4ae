/** Elements without a framework. */

/** The element with an id. Throws if index.html has none of that kind. */
export function byId<E extends HTMLElement>(id: string, kind: new () => E): E;
export function byId(id: string): HTMLElement;
export function byId(id: string, kind: new () => HTMLElement = HTMLElement): HTMLElement {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
  return found;
}

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A new element; `false` and `undefined` leave an attribute out, `true` sets it empty. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) created.setAttribute(name, value === true ? "" : String(value));
  }
  created.append(...children);
  return created;
}

/** A table from a header and rows; the first cell of a row heads it. */
export function table(
  caption: string,
  header: readonly string[],
  rows: readonly (readonly (Node | string)[])[],
  attributes: Attributes = {},
): HTMLTableElement {
  return element(
    "table",
    attributes,
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...header.map((cell) => element("th", { scope: "col" }, cell)))),
    element(
      "tbody",
      {},
      ...rows.map(([first = "", ...rest]) =>
        element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((cell) => element("td", {}, cell))),
      ),
    ),
  );
}

/** Messages between the page and the worker of the tour. */

export interface RunCell {
  readonly number: number;
  readonly code: string;
  /** The address of the site, which ends with a slash. */
  readonly site: string;
}

/** One thing that a cell shows. */
export type Shown =
  | { readonly kind: "text"; readonly text: string }
  /** A token of a text. `share` is the part of the model's blocks that it did not need; 0 if it needed all. */
  | { readonly kind: "token"; readonly text: string; readonly share: number; readonly note: string }
  | { readonly kind: "table"; readonly rows: readonly (readonly string[])[] };

export type FromCell = Shown | { readonly kind: "done" } | { readonly kind: "failed"; readonly message: string };

/**
 * A cell as a module. Workers have no import maps, so imports of the library become lookups, and what a cell declares
 * at the start of a line is handed to the cells after it.
 */

/** The object that a cell finds as `globalThis.cell`. */
export interface CellGlobals {
  /** The module of an import. */
  readonly load: (specifier: string) => Promise<Readonly<Record<string, unknown>>>;
  /** Declarations of the cells before; a cell adds to them when it ends. */
  readonly scope: Record<string, unknown>;
  readonly console: Pick<Console, "log" | "table">;
  /** Shows a token, coloured by the share of `numLayers` blocks that it did not need. */
  readonly show: (token: { readonly text: string; readonly depth: number }, numLayers: number) => void;
  /** The address of the site. */
  readonly site: string;
}

const IMPORT = /^import\s+(?:\{([^}]*)\}|\*\s+as\s+(\w+))\s+from\s+(["'][^"']+["']);?/gm;
const DECLARATION =
  /^(?:(?:const|let|var)\s+(?:\{([^}]*)\}|\[([^\]]*)\]|(\w+))|(?:async\s+)?function\*?\s+(\w+)|class\s+(\w+))/gm;

/** The names that a cell declares at the start of a line, imports included. */
export function declaredNames(code: string): string[] {
  const names = [...code.matchAll(IMPORT), ...code.matchAll(DECLARATION)].flatMap(([, ...groups]) =>
    (groups as readonly (string | undefined)[]).flatMap((group) =>
      group === undefined || /^["']/.test(group)
        ? []
        : group.split(",").map((part) =>
            part
              .replace(/=.*/s, "")
              .replace(/^.*(?::|\bas\b)/s, "")
              .trim(),
          ),
    ),
  );
  return [...new Set(names)].filter((name) => /^\w+$/.test(name));
}

/** The text of a module that runs the cell; lines keep their numbers. `known`: names that cells before declared. */
export function cellProgram(code: string, known: readonly string[]): string {
  const own = declaredNames(code);
  const taken = known.filter((name) => !own.includes(name));
  const body = code.replace(IMPORT, (_, names: string | undefined, all: string | undefined, from: string) =>
    all === undefined
      ? `const {${names!.replace(/\bas\b/g, ":")}} = await load(${from});`
      : `const ${all} = await load(${from});`,
  );
  return (
    `const { load, scope, console, show, site } = globalThis.cell; const { ${taken.join(", ")} } = scope; ` +
    `${body}\nObject.assign(scope, { ${own.join(", ")} });\n`
  );
}

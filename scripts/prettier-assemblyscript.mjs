/**
 * Prettier for the AssemblyScript kernels (`*.as.ts`). They are TypeScript except for decorators on functions
 * (`@inline function f`), which a TypeScript parser rejects. This plugin hides such a decorator in a comment while
 * Prettier parses, and prints it again.
 */
import * as estree from "prettier/plugins/estree";
import * as typescript from "prettier/plugins/typescript";

const astFormat = "assemblyscript";
const hidden = /^as-decorator (\w+)$/;

export const languages = [{ name: "AssemblyScript", extensions: [".as.ts"], parsers: ["assemblyscript"] }];

export const parsers = {
  assemblyscript: {
    ...typescript.parsers.typescript,
    astFormat,
    preprocess: (text) => text.replace(/^@(\w+)(?= )/gm, "/*as-decorator $1*/"),
  },
};

export const printers = {
  [astFormat]: {
    ...estree.printers.estree,
    printComment(path, options) {
      const decorator = hidden.exec(path.node.value);
      return decorator === null ? estree.printers.estree.printComment(path, options) : `@${decorator[1]}`;
    },
  },
};

/**
 * The fenced blocks of a Markdown page. A `text` block that follows a `ts`, `sh` or `js` block, with at most a blank
 * line between them, is the output of that block. In it, "…" stands for anything on the same line, and a line with only
 * "…" for any number of lines.
 */

export interface Block {
  readonly language: string;
  readonly code: string;
  /** The line of the opening fence, from 1. */
  readonly line: number;
  /** Its output, if the page shows it. */
  readonly expected: string | undefined;
  /** Range of `expected` in the page: [begin, end). */
  readonly expectedAt: readonly [number, number] | undefined;
}

const FENCED = /^```(\w*)\n([\s\S]*?)^```$(?:\n\n?```text\n([\s\S]*?)^```$)?/dgm;

export function blocksOf(page: string): Block[] {
  return Array.from(page.matchAll(FENCED)).flatMap((match): Block[] => {
    const [, language, code, expected] = match;
    const line = page.slice(0, match.index).split("\n").length;
    const block = { language: language!, code: code!, line, expected: undefined, expectedAt: undefined };
    if (expected === undefined) return [block];
    // After a block of another language, the text block stands for itself.
    return ["ts", "sh", "js"].includes(language!)
      ? [{ ...block, expected, expectedAt: match.indices![3] }]
      : [block, { ...block, language: "text", code: expected }];
  });
}

/** True if the output of a program is what the page shows. */
export function agrees(expected: string, found: string): boolean {
  const pattern = expected
    .trimEnd()
    .split("\n")
    .map((line) => (line.trim() === "…" ? "[\\s\\S]*" : line.trimEnd().split("…").map(escape).join(".*")))
    .join("\n");
  return new RegExp(`^${pattern}$`).test(
    found
      .split("\n")
      .map((line) => line.trimEnd())
      .join("\n")
      .trimEnd(),
  );
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

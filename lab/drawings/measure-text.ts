/**
 * Text widths without a browser: the advance of every character in DejaVu Sans, rounded up to 0.05 em. DejaVu Sans is
 * the widest of the usual system fonts, so text that fits by these widths fits wherever `system-ui` leads.
 */
const ADVANCES: readonly (readonly [em: number, characters: string])[] = [
  [0.3, "IJijl"],
  [0.35, " ,./:;\\|·’"],
  [0.4, "()-[]ftᵀ"],
  [0.45, "!r"],
  [0.5, '"*_`–'],
  [0.55, "?cszε“”"],
  [0.6, "FLkvxyγ"],
  [0.65, "$0123456789EPSTYabdeghnopqu{}δΣ"],
  [0.7, "ABCKRVXZα"],
  [0.75, "NU"],
  [0.8, "&DGHOQ"],
  [0.85, "#+<=>^w~≥≤≈×→←↑↓"],
  [0.9, "M"],
  [1, "%@Wm…"],
];
const ADVANCE: ReadonlyMap<string, number> = new Map(
  ADVANCES.flatMap(([em, characters]) => Array.from(characters, (character) => [character, em] as const)),
);
/** Bold characters are about an eighth wider. */
const BOLD = 1.12;

export interface Font {
  readonly size: number;
  readonly bold: boolean;
}

/** Width of one line in pixels. Throws if a character is not in the table. */
export function measureText(line: string, { size, bold }: Font): number {
  let em = 0;
  for (const character of line) {
    const advance = ADVANCE.get(character);
    if (advance === undefined) throw new Error(`drawing: no width for ${JSON.stringify(character)} in "${line}"`);
    em += advance;
  }
  return em * size * (bold ? BOLD : 1);
}

/** Breaks text at spaces into lines of at most `width` pixels; "\n" always breaks. Throws if a word is wider. */
export function wrapText(text: string, width: number, font: Font): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines: string[] = [];
    for (const word of paragraph.split(" ")) {
      if (measureText(word, font) > width) throw new Error(`drawing: "${word}" is wider than ${width} px`);
      const longer = `${lines.at(-1) ?? ""} ${word}`;
      if (lines.length > 0 && measureText(longer, font) <= width) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  });
}

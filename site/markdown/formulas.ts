/** Formulas are indented by four spaces. They get the frame of code, without colours. */
import type { MarkdownRenderer } from "vitepress";

export function formulas(md: MarkdownRenderer): void {
  md.core.ruler.push("formulas", ({ tokens }) => {
    for (const token of tokens) {
      if (token.type === "code_block") Object.assign(token, { type: "fence", tag: "code", info: "text" });
    }
  });
}

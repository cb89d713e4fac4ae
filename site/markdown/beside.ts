/**
 * A program beside its explanation: a paragraph that is only a link to lines of a file ("file.ts#L10-L20") becomes
 * these lines, next to the section that it ends. Where the page is read as it lies, the link leads to them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { MarkdownRenderer } from "vitepress";
import { linked, repository } from "./addresses.js";

const LINES = /^([^#]+)#L(\d+)-L(\d+)$/;

export function codeBeside(md: MarkdownRenderer): void {
  md.core.ruler.push("code-beside", (state) => {
    const html = (content: string) => Object.assign(new state.Token("html_block", "", 0), { content });
    const tokens: typeof state.tokens = [];
    for (let i = 0; i < state.tokens.length; i++) {
      const [opening, inline] = [state.tokens[i]!, state.tokens[i + 1]];
      const [link, , end, ...more] = inline?.children ?? [];
      const lines = LINES.exec(link?.attrGet("href") ?? "");
      if (opening.type !== "paragraph_open" || lines === null || end?.type !== "link_close" || more.length > 0) {
        tokens.push(opening);
        continue;
      }
      const [, file, from, to] = lines;
      const text = readFileSync(join(repository, linked("docs/x.md", file!).path), "utf8").split("\n");
      const code = new state.Token("fence", "code", 0);
      code.info = `ts:line-numbers=${from!}`;
      code.content = `${text
        .slice(Number(from) - 1, Number(to))
        .join("\n")
        .trimEnd()}\n`;
      const section = tokens.findLastIndex(({ type, tag }) => type === "heading_open" && tag === "h2");
      tokens.splice(section, 0, html('<section class="beside"><div>'));
      tokens.push(html("</div>"), code, html("</section>"));
      i += 2;
    }
    state.tokens = tokens;
  });
}

/**
 * On the tour, a `js` block becomes a cell that can be edited and run, and the `text` block that follows it is what the
 * cell shows until then.
 */
import type { MarkdownRenderer } from "vitepress";

const PAGE = "tour.md";

type Token = ReturnType<MarkdownRenderer["parse"]>[number];

export function tourCells(md: MarkdownRenderer): void {
  md.core.ruler.push("tour-cells", (state) => {
    const { relativePath } = state.env as { readonly relativePath?: string };
    if (relativePath !== PAGE) return;
    const html = (content: string): Token => {
      const token = new state.Token("html_block", "", 0);
      token.content = content;
      return token;
    };
    let number = 0;
    const isFence = (token: Token | undefined, language: string): token is Token =>
      token?.type === "fence" && token.info === language;
    state.tokens = state.tokens.flatMap((token, i, all) => {
      if (isFence(token, "js")) {
        number++;
        const recorded = all[i + 1];
        const before = html(`<TourCell :number="${number}">`);
        if (!isFence(recorded, "text")) return [before, token, html("</TourCell>")];
        return [before, token, html("<template #recorded>"), recorded, html("</template></TourCell>")];
      }
      return isFence(token, "text") && isFence(all[i - 1], "js") ? [] : [token];
    });
  });
}

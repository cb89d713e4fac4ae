/**
 * Links of Markdown pages on the site. A link to another page of docs/ stays; one that leaves docs/ leads to a page of
 * that file below source/. So does a path in code font, as the package lacks such files. A link to nothing is an
 * error.
 */
import type { MarkdownRenderer } from "vitepress";
import { addressOf, linked, toTop } from "./addresses.js";

/** Set for a page below source/: where its links start, as a path of the repository, and its address. */
export interface SourceEnvironment {
  readonly repositoryPath: string;
  readonly address: string;
}

/** VitePress sets the page's path in docs/. */
type Environment = Partial<SourceEnvironment> & { readonly relativePath?: string };

/** Of a file that only the clone has. */
const PATH = /^(?:src|test|bench|deploy|playground)\/[\w./-]+$/;

export function repositoryLinks(md: MarkdownRenderer): void {
  md.core.ruler.push("repository-links", ({ tokens, env }) => {
    const { relativePath, repositoryPath, address: own = "" } = env as Environment;
    if (relativePath === undefined && repositoryPath === undefined) return;
    const from = repositoryPath ?? `docs/${relativePath!}`;
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const { type, content } = token;
      if (type === "code_inline" && from.startsWith("docs/") && from !== "docs/experiments.md" && PATH.test(content)) {
        const code = `<a href="./${addressOf(content)}" target="_self"><code>${content}</code></a>`;
        Object.assign(token, { type: "html_inline", content: code });
      }
      const attribute = { link_open: "href", image: "src" }[token.type];
      const link = attribute === undefined ? undefined : token.attrGet(attribute);
      if (link === undefined || link === null || /^(?:[a-z]+:|#|\/)/i.test(link)) continue;
      const picture = token.type === "image";
      if (picture && repositoryPath === undefined) continue; // the bundler takes it from where it lies
      const { path, anchor } = linked(from, decodeURI(link));
      const address = addressOf(path);
      token.attrSet(attribute!, toTop(own) + address + anchor);
      // Pages of source files are no pages of the application, which a target tells its router.
      if (!picture && (repositoryPath !== undefined || address.includes("/"))) token.attrSet("target", "_self");
    }
  });
}

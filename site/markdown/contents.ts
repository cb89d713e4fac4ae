/** The contents in docs/README.md, as entries of the sidebar. */

export interface Entry {
  readonly text: string;
  /** The page's address, without ".html". */
  readonly link: string;
}

export interface Contents {
  /** The numbered pages, in order. */
  readonly numbered: readonly Entry[];
  /** The pages that the list beside them names. */
  readonly others: readonly Entry[];
}

/** Reads lines such as "1. [Title](page.md): …" and "- [Title](page.md): …". */
export function contentsOf(readme: string): Contents {
  const entries = (pattern: RegExp): Entry[] =>
    Array.from(readme.matchAll(pattern), ([, number = "", title, page]) => ({
      text: `${number}${title!}`,
      link: `/${page!}`,
    }));
  return {
    numbered: entries(/^(\d+\. )\[([^\]]+)\]\(([\w-]+)\.md\)/gm),
    others: entries(/^- ()\[([^\]]+)\]\(([\w-]+)\.md\)/gm),
  };
}

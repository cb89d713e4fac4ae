/** Anchors of headings, as GitHub and editors make them, so that a link works there and on the site. */

/** "What a certificate does not say" -> "what-a-certificate-does-not-say". */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "")
    .replaceAll(" ", "-");
}

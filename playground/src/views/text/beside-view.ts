/** The plain text beside that of another mode: tokens outside their longest common part are marked. */
import { byId, element } from "../dom.js";

/** Shows two texts, as tokens; hides both if one is missing. */
export function showBeside(plain: readonly string[] = [], other: readonly string[] = []): void {
  byId("beside").hidden = plain.length === 0 || other.length === 0;
  // At i, j: the length of the longest common part of what follows there.
  const common = Array.from({ length: plain.length + 1 }, () => new Uint16Array(other.length + 1));
  for (let i = plain.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      common[i]![j] =
        plain[i] === other[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const [left, right] = [byId("beside-plain"), byId("beside-other")];
  for (const column of [left, right]) column.replaceChildren();
  for (let i = 0, j = 0; i < plain.length || j < other.length;) {
    if (i < plain.length && plain[i] === other[j]) {
      left.append(plain[i++]!);
      right.append(other[j++]!);
    } else if (i < plain.length && (j === other.length || common[i + 1]![j]! >= common[i]![j + 1]!)) {
      left.append(element("mark", {}, plain[i++]!));
    } else right.append(element("mark", {}, other[j++]!));
  }
  const differ = other.length - common[0]![0]!;
  byId("beside-note").textContent =
    differ === 0 && plain.length === other.length
      ? "Both texts are the same."
      : `${differ} of ${other.length} tokens have no counterpart in the plain text; they are underlined.`;
}

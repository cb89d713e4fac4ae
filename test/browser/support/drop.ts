/** Drops files on an element, as the desktop does. */
import { droppedFiles, type FileMap } from "early-exits/browser";

export async function drop(files: readonly File[]): Promise<FileMap> {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  let dropped: Promise<FileMap> | undefined;
  const target = document.createElement("div");
  target.addEventListener("drop", ({ dataTransfer }) => void (dropped = droppedFiles(dataTransfer!)));
  target.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
  return dropped!;
}

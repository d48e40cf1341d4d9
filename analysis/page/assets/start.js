// What the page does once it is read.

const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
document.documentElement.classList.add("scripted");
if (data.curves && document.getElementById("curves-here")) showCurves(data.curves, document.getElementById("curves-here"));
if (data.explorer) {
  const host = document.getElementById("explorer");
  if (data.explorer.kind === "images") exploreImages(data.explorer, host);
  else exploreWords(data.explorer, host);
}
document.querySelectorAll("table.sortable").forEach(sortable);

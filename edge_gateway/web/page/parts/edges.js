/* The other edges: where to go on when this one does not answer. Asked for while it does, and kept. */

export default function (page) {
  const { t, say, h, live, insist, memory, words } = page;
  words({
    others: ["Another edge may answer; what this one has stays there:", "其他服务器可能可用；此服务器上的内容会保留："],
    other: ["go on at {0}", "改用 {0}"],
  });
  const KEY = "viseme-edges";
  const list = h("span");
  const strip = h("p", { class: "bad", id: "others", role: "status", hidden: true }, h("span", { say: "others" }), " ", list);
  document.getElementById("lost").after(strip);

  const draw = () => {
    strip.hidden = live.up !== false || !list.children.length;
  };

  /* Pages of others alone: this one is where it does not answer. */
  function fill(edges) {
    const others = edges.filter((edge) => edge.web && new URL(edge.web).origin !== location.origin);
    list.replaceChildren(...others.flatMap((edge, at) => {
      const name = edge.region ? `${edge.name} (${edge.region})` : edge.name;
      const link = h("a", { href: edge.web, rel: "noreferrer" });
      return [at ? " · " : "", say(link, () => t("other", name))];
    }));
    draw();
  }

  try {
    fill(JSON.parse(memory.get(KEY) ?? "[]"));
  } catch { /* written by another version */ }
  live.addEventListener("link", draw);
  insist("GET", "/edges").then(({ edges }) => {
    memory.set(KEY, JSON.stringify(edges));
    fill(edges);
  });
  return {};
}

/* Faces: videos and photos that were used before; of a job with one of them only the speech is uploaded. */

export default function (page) {
  const { t, say, h, named, moment, insist } = page;
  page.words({
    faces: ["Faces used before", "用过的人脸"],
    "faces-why": ["Choose one, and only the recording has to be uploaded.", "选择一个后，只需上传语音。"],
    "faces-none": ["None yet. Each video or photo that a job used is kept here.", "暂无。任务用过的视频和照片会保留在这里。"],
    "used": ["{0} × · {1}", "{0} 次 · {1}"],
    more: ["Show more", "显示更多"],
  });
  let target = null;
  let loaded = () => {};

  function view() {
    const list = h("ul", { class: "grid" });
    const none = h("p", { class: "quiet", say: "faces-none", hidden: true });
    const trouble = h("p", { class: "bad", role: "alert", hidden: true });
    const more = h("button", { say: "more", hidden: true });
    let token = "";
    const load = async (afresh) => {
      more.disabled = true;
      try {
        const told = await insist("GET", `/faces?page_size=48&page_token=${encodeURIComponent(afresh ? "" : token)}`);
        if (afresh) list.replaceChildren();
        list.append(...told.faces.map((face) => h("li", null, tile(face))));
        token = told.next_page_token;
        more.hidden = !token;
        none.hidden = !!list.children.length;
        trouble.hidden = true;
      } catch (error) {
        trouble.textContent = error.message;
        trouble.hidden = false;
      }
      more.disabled = false;
    };
    more.onclick = () => load(false);
    loaded = () => load(true);
    return h("div", null, h("h1", { say: "faces" }), h("p", { class: "quiet", say: "faces-why" }), trouble, list, none, more);
  }

  function tile(face) {
    const { asset } = face;
    const picture = h("img", { src: `/assets/${asset.asset_id}/picture.jpg`, alt: "", loading: "lazy" });
    const used = h("span", { class: "quiet" });
    say(used, () => t("used", face.jobs, moment(face.used_time)));
    return h("button", { class: "tile card", onclick: () => {
      const take = target ?? ((chosen) => { page.choose("video", null, chosen); location.hash = "#new"; });
      target = null;
      take(asset);
    } }, picture, named(asset.display_name || asset.asset_id.slice(0, 12)), used);
  }

  return { view, shown: () => loaded(), pick: (take) => { target = take; location.hash = "#faces"; } };
}

// What a page of the edge does with an unmodified Uppy.
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

globalThis.send = async (endpoint, bytes) => {
  let asset = null;
  const uppy = new Uppy().use(Tus, {
    endpoint,
    retryDelays: Array(30).fill(20),
    onAfterResponse: (_, response) => { asset = response.getHeader("Viseme-Asset-Id") ?? asset; },
  });
  uppy.addFile({ name: "clip.mp4", type: "video/mp4", data: new File([bytes], "clip.mp4", { type: "video/mp4" }) });
  const { failed } = await uppy.upload();
  if (failed.length) throw new Error(failed[0].error);
  return { asset };
};

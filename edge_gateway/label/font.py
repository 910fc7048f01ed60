"""The recipe of ``label.ttf``: what labels are written with, where the operator names no font.

It has the Latin letters of Roboto Medium (Copyright 2011 Google Inc., Apache-2.0), as Debian's package
``fonts-roboto-unhinted`` 2:0~20170802-3 carries it, and of Droid Sans Fallback (Copyright 2006 Google, Apache-2.0),
of ``fonts-droid-fallback`` 1:6.0.1r16-1.1, the Chinese ones that labels consist of. It wants ``pip install
fonttools==4.68.0``, which nothing else here needs; the same fonts give the same bytes::

    python -m edge_gateway.label.font Roboto-Medium.ttf DroidSansFallbackFull.ttf label.ttf
"""

import importlib
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

_TOOLS = ("merge", "ttLib.scaleUpem", "subset")
_UNITS = 2048

LATIN = (*range(0x20, 0x7F), *range(0xA0, 0x100), 0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2026)
CHINESE = (
    "人工智能生成合由本视频音画面像图片影声内容作品为是的了与和及或含有部分经过使用采技术制创编辑修改处理"
    "口型唇形对嘴配语换脸数字虚拟主播仿真实非假仅供参考请勿误当示例提演模型算法深度合拟添加标识警告注意"
    "此该段节目信息来源原版权所有公司机构平台服务者用户自动翻译广电新闻直录播放时间年月日中文英国"
    "，。：；！？、（）《》“”【】·…—"
)


def main(latin: str, chinese: str, target: str) -> None:
    """Write the parts of two fonts as one."""
    merge, scale, subset = (importlib.import_module(f"fontTools.{name}") for name in _TOOLS)
    options = subset.Options(hinting=False, layout_features=[], name_IDs=[0, 1, 2, 13, 14], notdef_outline=True)
    parts = []
    for path, wanted in ((latin, LATIN), (chinese, map(ord, CHINESE))):
        font = subset.load_font(path, options, dontLoadGlyphNames=True)
        font.recalcTimestamp = False
        part = subset.Subsetter(options)
        part.populate(unicodes=[one for one in wanted if path == latin or one not in LATIN])
        part.subset(font)
        scale.scale_upem(font, _UNITS)
        with NamedTemporaryFile(suffix=".ttf", delete=False) as file:
            parts.append(file.name)
        font.save(file.name)
    font = merge.Merger(merge.Options(drop_tables=["vhea", "vmtx", "VORG", "GDEF", "GSUB", "GPOS"])).merge(parts)
    font.recalcTimestamp = False
    font["head"].created = font["head"].modified = 0
    font.save(target)
    sys.stdout.write(f"{target}: {Path(target).stat().st_size} bytes\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

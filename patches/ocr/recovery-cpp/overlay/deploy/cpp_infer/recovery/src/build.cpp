// Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

#include "geometry.h"
#include "utf8.h"

#include <include/recovery/stage_file.h>

#include <algorithm>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

const float kA4Width = 595.3f, kA4Height = 841.9f;
const size_t kMaxRegions = 100000;

std::string where(const Page &page, size_t region) {
  return "page " + std::to_string(page.index) + ", region " +
         std::to_string(region);
}

bool finite(const Box &box) {
  return std::isfinite(box.x1) && std::isfinite(box.y1) &&
         std::isfinite(box.x2) && std::isfinite(box.y2);
}

void check_text(std::string *text, const std::string &place,
                const BuildOptions &options) {
  const size_t bad = find_invalid_utf8(*text);
  if (bad == std::string::npos)
    return;
  if (!options.replace_invalid_utf8)
    throw RecoveryError(place + ": invalid UTF-8 at byte " +
                        std::to_string(bad) +
                        " (replace_invalid_utf8 puts U+FFFD there)");
  *text = encode_utf8(decode_utf8(*text));
}

// Checks the input once, so that nothing behind it has to.
std::vector<Page> checked(const std::vector<Page> &pages,
                          const BuildOptions &options) {
  std::vector<Page> clean = pages;
  for (Page &page : clean) {
    if (page.regions.size() > kMaxRegions)
      throw RecoveryError("page " + std::to_string(page.index) + ": " +
                          std::to_string(page.regions.size()) + " regions");
    for (size_t r = 0; r < page.regions.size(); ++r) {
      Region &region = page.regions[r];
      if (!finite(region.box))
        throw RecoveryError(where(page, r) + ": its box is not a number");
      if (region.box.x1 > region.box.x2)
        std::swap(region.box.x1, region.box.x2);
      if (region.box.y1 > region.box.y2)
        std::swap(region.box.y1, region.box.y2);
      check_text(&region.html, where(page, r) + ", table HTML", options);
      for (size_t l = 0; l < region.lines.size(); ++l) {
        const std::string place =
            where(page, r) + ", line " + std::to_string(l);
        check_text(&region.lines[l].text, place, options);
        for (const Point &p : region.lines[l].quad)
          if (!std::isfinite(p.x) || !std::isfinite(p.y))
            throw RecoveryError(place + ": its box is not a number");
      }
      region.type = lower(region.type);
    }
  }
  return clean;
}

bool is_header(const Region &region) { return region.type == "header"; }
bool is_footer(const Region &region) {
  return region.type == "footer" || region.type == "page_number";
}
bool is_caption(const Region &region) {
  return region.type.find("caption") != std::string::npos;
}
bool is_picture(const Region &region) {
  return region.type == "figure" || region.type == "image" ||
         region.type == "seal" || region.type == "chart";
}

// Size of the page in points and the scale, from the image's size or, where
// that is not known, from what lies on it.
PageFrame make_frame(const Page &page, float *width_px) {
  float left = 1e30f, top = 1e30f, right = 0, bottom = 0;
  float body_top = 1e30f, body_bottom = 0; // without header and footer
  for (const Region &region : page.regions) {
    left = std::min(left, std::max(0.0f, region.box.x1));
    top = std::min(top, std::max(0.0f, region.box.y1));
    right = std::max(right, region.box.x2);
    bottom = std::max(bottom, region.box.y2);
    if (is_header(region) || is_footer(region))
      continue;
    body_top = std::min(body_top, std::max(0.0f, region.box.y1));
    body_bottom = std::max(body_bottom, region.box.y2);
  }
  PageFrame frame;
  const bool known = page.width >= 1 && page.height >= 1;
  const float width = known ? page.width : right + std::min(left, right);
  const float height = known ? page.height : bottom + std::min(top, bottom);
  *width_px = width;
  if (!(width >= 1))
    return frame;
  const float aspect = height / width;
  if (!known || std::fabs(aspect - kA4Height / kA4Width) < 0.08f) {
    if (!known && aspect < 0.8f)
      std::swap(frame.width, frame.height);
  } else if (std::fabs(aspect - kA4Width / kA4Height) < 0.04f) {
    std::swap(frame.width, frame.height);
  } else {
    frame.height = std::min(1584.0f, std::max(144.0f, kA4Width * aspect));
  }
  frame.points_per_pixel = frame.width / width;
  const float side = std::min(left, std::max(0.0f, width - right));
  frame.margin_x =
      std::min(90.0f, std::max(36.0f, side * frame.points_per_pixel));
  const auto margin = [&](float pixels) {
    return std::min(72.0f, std::max(36.0f, pixels * frame.points_per_pixel));
  };
  frame.margin_top = margin(body_top);
  frame.margin_bottom = margin(height - body_bottom);
  frame.header_edge = std::min(frame.margin_top / 2,
                               std::max(14.0f, top * frame.points_per_pixel));
  frame.footer_edge =
      std::min(frame.margin_bottom / 2,
               std::max(14.0f, (height - bottom) * frame.points_per_pixel));
  return frame;
}

// Size of the type in pixels -> in points, to half a point.
float font_points(float pixels, const PageFrame &frame) {
  const float points = pixels * frame.points_per_pixel;
  if (!(points > 0))
    return 10.5f;
  return std::min(48.0f, std::max(6.0f, std::round(points * 2) / 2));
}

class Builder {
public:
  Builder(const BuildOptions &options, Document *document)
      : options_(options), document_(document) {}

  void add_page(const Page &page) {
    float width = 0;
    page_ = &page;
    document_->pages.push_back(make_frame(page, &width));
    frame_ = &document_->pages.back();
    width_ = width;
    // the margin is kept, what is white below it stands before the first block
    bottom_ = frame_->points_per_pixel > 0
                  ? frame_->margin_top / frame_->points_per_pixel
                  : 1e30f;
    sizes_.clear();
    std::vector<const Region *> body, top, bottom;
    for (const Region &region : page.regions) {
      if (is_header(region) && region.image.empty())
        top.push_back(&region);
      else if (is_footer(region) && region.image.empty())
        bottom.push_back(&region);
      else
        body.push_back(&region);
    }
    add_margin_text(top, &frame_->header);
    add_margin_text(bottom, &frame_->footer);
    const size_t first = document_->sections.size();
    const std::vector<Band> bands = reading_order(body, width);
    if (!bands.empty() && bands[0].columns == 2) {
      // the white above two columns is the margin's: programs disagree about
      // white at the top of a column
      float high = 1e30f;
      for (const Placed &placed : bands[0].regions)
        high = std::min(high, placed.region->box.y1);
      frame_->margin_top = std::min(
          0.4f * frame_->height,
          std::max(frame_->margin_top, high * frame_->points_per_pixel));
      bottom_ = frame_->margin_top / std::max(1e-6f, frame_->points_per_pixel);
    }
    for (const Band &band : bands)
      add_band(band);
    if (document_->sections.size() == first) { // an empty page stays a page
      document_->sections.push_back(Section());
      document_->section_page.push_back(page_place());
    }
    document_->sections[first].starts_page = true;
    if (!sizes_.empty()) {
      std::sort(sizes_.begin(), sizes_.end());
      frame_->text_size = sizes_[sizes_.size() / 2];
    }
  }

private:
  int page_place() const {
    return static_cast<int>(document_->pages.size()) - 1;
  }

  void add_margin_text(std::vector<const Region *> regions,
                       std::vector<Paragraph> *out) {
    for (const Band &band : reading_order(regions, 1e9f))
      for (const Placed &placed : band.regions) {
        const TextFlow flow =
            make_rows(placed.region->lines, placed.region->box);
        if (flow.rows.empty())
          continue;
        Paragraph paragraph = join_rows(flow);
        to_points(&paragraph);
        paragraph.indent_first = false;
        paragraph.align = side(*placed.region);
        out->push_back(paragraph);
      }
  }

  void to_points(Paragraph *paragraph) const {
    paragraph->font_size = font_points(paragraph->font_size, *frame_);
    paragraph->line_pitch =
        std::min(2.2f * paragraph->font_size,
                 paragraph->line_pitch * frame_->points_per_pixel);
  }

  // White space on the page above a block -> points; what is white between the
  // lines of a paragraph is not counted.
  float white_points(float pixels, const Block &block, float most) const {
    float within = 3;
    if (block.kind == BlockKind::Paragraph)
      within = std::max(6.0f,
                        block.paragraph.line_pitch - block.paragraph.font_size);
    const float points = pixels * frame_->points_per_pixel - within;
    return std::min(most, std::max(0.0f, std::round(points)));
  }

  void add_band(const Band &band) {
    Section section;
    section.columns = band.columns;
    float bottom = bottom_, lowest = bottom_; // of what stands above
    float above = 0; // white above a band of two columns
    const bool first_band = document_->section_page.empty() ||
                            document_->section_page.back() != page_place();
    int column = 0;
    for (const Placed &placed : band.regions) {
      place_ = &placed;
      if (placed.column != column) // the right column begins at the band's top
        bottom = bottom_;
      column = placed.column;
      const size_t first = section.blocks.size();
      add_region(*placed.region, &section);
      if (section.blocks.size() == first)
        continue;
      const bool top = bottom == bottom_; // of its column
      const float white =
          white_points(placed.region->box.y1 - bottom, section.blocks[first],
                       top && first_band ? 0.4f * frame_->height : 36.0f);
      if (band.columns == 1 || !top || first_band)
        section.blocks[first].space_before = white;
      else // above both columns, not at the top of one
        above = first == 0 ? white : std::min(above, white);
      bottom = std::max(bottom, placed.region->box.y2);
      lowest = std::max(lowest, bottom);
    }
    bottom_ = lowest;
    if (above > 0)
      document_->sections.back().blocks.back().space_after = above;
    if (section.blocks.empty())
      return;
    const bool joins = !document_->sections.empty() &&
                       document_->section_page.back() == page_place() &&
                       document_->sections.back().columns == 1 &&
                       section.columns == 1;
    if (joins) {
      std::vector<Block> &blocks = document_->sections.back().blocks;
      for (Block &block : section.blocks)
        blocks.push_back(std::move(block));
      return;
    }
    document_->sections.push_back(std::move(section));
    document_->section_page.push_back(page_place());
  }

  Block new_block(const Region &region, BlockKind kind) const {
    Block block;
    block.kind = kind;
    block.type = region.type;
    block.box = region.box;
    block.page = page_->index;
    block.column = place_->column;
    return block;
  }

  void warn(const Region &region, const std::string &what) {
    const std::string text = where(*page_, &region - page_->regions.data()) +
                             " (" + region.type + "): " + what;
    if (options_.strict)
      throw RecoveryError(text);
    document_->warnings.push_back(text);
  }

  void add_region(const Region &region, Section *section) {
    if (region.type == "table" && add_table(region, section))
      return;
    const bool picture = is_picture(region) || region.type == "table" ||
                         (region.type == "equation" && !region.image.empty()) ||
                         region.lines.empty();
    if (picture && add_picture(region, section))
      return;
    add_text(region, section);
  }

  bool add_table(const Region &region, Section *section) {
    if (region.html.empty()) {
      warn(region, "the table model gave no HTML");
      return false;
    }
    Block block = new_block(region, BlockKind::Table);
    try {
      block.table = parse_table(region.html);
    } catch (const RecoveryError &problem) {
      warn(region, problem.what());
      return false;
    }
    if (place_->column == 0 && section->columns == 1)
      block.table.align = side(region);
    section->blocks.push_back(std::move(block));
    return true;
  }

  bool add_picture(const Region &region, Section *section) {
    if (region.image.empty()) {
      if (is_picture(region))
        warn(region, "no crop" + (region.image_name.empty()
                                      ? std::string()
                                      : ": " + region.image_name));
      return false;
    }
    Block block = new_block(region, BlockKind::Picture);
    Picture &picture = block.picture;
    if (!image_size(region.image, &picture.width, &picture.height,
                    &picture.extension)) {
      warn(region,
           "its crop is not a JPEG, PNG, GIF or BMP: " + region.image_name);
      return false;
    }
    picture.bytes = region.image;
    for (const TextLine &line : region.lines)
      picture.description +=
          (picture.description.empty() ? "" : " ") + line.text;
    section->blocks.push_back(std::move(block));
    return true;
  }

  // In the middle of the page with space on both sides.
  bool stands_centred(const Region &region) const {
    const float left = region.box.x1, right = width_ - region.box.x2;
    return left > 0.12f * width_ && std::fabs(left - right) < 0.04f * width_;
  }

  // Where a table, a header or a footer stands.
  Align side(const Region &region) const {
    const float left = region.box.x1, right = width_ - region.box.x2;
    if (std::fabs(left - right) < 0.06f * width_)
      return Align::Centre;
    return left < right ? Align::Left : Align::Right;
  }

  // A short line at the right edge: a date, a signature, a number.
  bool stands_right(const Region &region, const TextFlow &flow) const {
    const float left = region.box.x1, right = width_ - region.box.x2;
    return flow.rows.size() == 1 && !flow.right_to_left &&
           left > 0.6f * width_ && right < 0.2f * width_;
  }

  void add_text(const Region &region, Section *section) {
    const TextFlow flow = make_rows(region.lines, region.box);
    if (flow.rows.empty())
      return;
    const bool title = region.type == "title", caption = is_caption(region);
    std::vector<Paragraph> paragraphs;
    if (title || caption)
      paragraphs.push_back(join_rows(flow));
    else
      paragraphs = make_paragraphs(flow, region.type == "list" ||
                                             region.type == "reference");
    for (Paragraph &paragraph : paragraphs) {
      paragraph.kind = title     ? ParagraphKind::Heading
                       : caption ? ParagraphKind::Caption
                                 : ParagraphKind::Body;
      to_points(&paragraph);
      if (title || caption)
        paragraph.indent_first = false;
      else
        sizes_.push_back(paragraph.font_size);
      if (stands_centred(region) &&
          (title || caption || paragraphs.size() == 1))
        paragraph.align = Align::Centre;
      else if (!caption && section->columns == 1 && stands_right(region, flow))
        paragraph.align = Align::Right;
      Block block = new_block(region, BlockKind::Paragraph);
      block.paragraph = paragraph;
      section->blocks.push_back(std::move(block));
    }
  }

  const BuildOptions &options_;
  Document *document_;
  const Page *page_ = nullptr;
  PageFrame *frame_ = nullptr;
  float width_ = 0;          // pixels
  float bottom_ = 0;         // of what was placed on the page so far
  std::vector<float> sizes_; // of its paragraphs
  const Placed *place_ = nullptr;
};

// Headings of about the same size have the same level, the largest level 1;
// three levels at most.
void set_levels(Document *document) {
  std::vector<float> sizes;
  for (const Section &section : document->sections)
    for (const Block &block : section.blocks)
      if (block.kind == BlockKind::Paragraph &&
          block.paragraph.kind == ParagraphKind::Heading)
        sizes.push_back(block.paragraph.font_size);
  std::sort(sizes.rbegin(), sizes.rend());
  for (Section &section : document->sections)
    for (Block &block : section.blocks) {
      Paragraph &paragraph = block.paragraph;
      if (block.kind != BlockKind::Paragraph ||
          paragraph.kind != ParagraphKind::Heading)
        continue;
      int level = 0;
      float bound = 1e30f;
      for (float size : sizes) {
        if (size < paragraph.font_size)
          break;
        if (size < bound * 0.85f) {
          ++level;
          bound = size;
        }
      }
      paragraph.level = std::min(3, std::max(1, level));
    }
}

} // namespace

Document build_document(const std::vector<Page> &pages,
                        const BuildOptions &options) {
  const std::vector<Page> clean = checked(pages, options);
  Document document;
  document.pages.reserve(clean.size()); // Builder keeps a pointer into it
  Builder builder(options, &document);
  for (const Page &page : clean)
    builder.add_page(page);
  set_levels(&document);
  return document;
}

} // namespace recovery
} // namespace PaddleOCR

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

#include "footnotes.h"
#include "geometry.h"
#include "labels.h"
#include "utf8.h"

#include <include/recovery/stage_file.h>

#include <algorithm>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

const float kA4Width = 595.3f, kA4Height = 841.9f, kMostPoints = 1584;
const size_t kMaxRegions = 10000;
const float kColumnGap = 21; // points between two columns

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
      check_text(&region.latex, where(page, r) + ", LaTeX", options);
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

// "12", "- 12 -", "Page 3 of 10", and the same in Chinese.
bool page_number(const Region &region) {
  if (region.lines.size() != 1)
    return false;
  std::string text = lower(region.lines[0].text);
  for (const char *word : {"page", "of", "\xE7\xAC\xAC", "\xE9\xA1\xB5",
                           "\xE5\x85\xB1", "\xE2\x80\x93", "\xE2\x80\x94"}) {
    const size_t at = text.find(word);
    if (at != std::string::npos)
      text.erase(at, std::string(word).size());
  }
  int digits = 0;
  for (char c : text) {
    digits += c >= '0' && c <= '9';
    if (!(c >= '0' && c <= '9') &&
        std::string(" -/.").find(c) == std::string::npos)
      return false;
  }
  return digits > 0 && digits <= 8;
}

enum class Margin { None, Top, Bottom };

// A header or a footer by its label and its place: a heading that the layout
// model takes for a header does not stand at the edge of the page.
Margin margin_of(const Region &region, float page_height) {
  const Kind kind = kind_of(region.type);
  const bool labelled = kind == Kind::Header || kind == Kind::Footer;
  if (!region.image.empty() || !(page_height > 0) ||
      (!labelled && (kind != Kind::Text || !page_number(region))))
    return Margin::None;
  const float edge = labelled ? 0.1f : 0.07f;
  if (region.box.y2 <= edge * page_height)
    return Margin::Top;
  return region.box.y1 >= (1 - edge) * page_height &&
                 region.box.y2 <= 1.02f * page_height
             ? Margin::Bottom
             : Margin::None;
}

struct PageSize {
  float width, height; // pixels
  bool known;          // else from what lies on the page
  Box used;
};

PageSize size_of(const Page &page) {
  Box used(1e30f, 1e30f, 0, 0);
  for (const Region &region : page.regions)
    used =
        Box(std::min(used.x1, std::max(0.0f, region.box.x1)),
            std::min(used.y1, std::max(0.0f, region.box.y1)),
            std::max(used.x2, region.box.x2), std::max(used.y2, region.box.y2));
  if (page.width >= 1 && page.height >= 1)
    return PageSize{page.width, page.height, true, used};
  return PageSize{used.x2 + std::min(used.x1, used.x2),
                  used.y2 + std::min(used.y1, used.y2), false, used};
}

// Pages of one document whose size is not known are as large as the largest.
std::vector<PageSize> sizes_of(const std::vector<Page> &pages) {
  std::vector<PageSize> sizes;
  float width = 0, height = 0;
  for (const Page &page : pages) {
    sizes.push_back(size_of(page));
    if (!sizes.back().known) {
      width = std::max(width, sizes.back().width);
      height = std::max(height, sizes.back().height);
    }
  }
  for (PageSize &size : sizes)
    if (!size.known && size.width <= width && size.height <= height &&
        size.width > 0.6f * width) {
      size.width = width;
      size.height = height;
    }
  return sizes;
}

// Size of the page in points, the scale, and the margins.
PageFrame make_frame(const Page &page, const PageSize &size) {
  const float left = size.used.x1, top = size.used.y1;
  const float right = size.used.x2, bottom = size.used.y2;
  const float width = size.width, height = size.height;
  const bool known = size.known;
  PageFrame frame;
  if (!(width >= 1))
    return frame;
  float body_top = 1e30f, body_bottom = 0; // without header and footer
  for (const Region &region : page.regions) {
    if (margin_of(region, height) != Margin::None)
      continue;
    body_top = std::min(body_top, std::max(0.0f, region.box.y1));
    body_bottom = std::max(body_bottom, region.box.y2);
  }
  const float aspect = height / width;
  bool own_shape = false;
  const bool a4 = std::fabs(aspect - kA4Height / kA4Width) < 0.08f;
  if (a4 || (!known && aspect >= 0.8f && aspect <= 1.6f)) {
    // as it is
  } else if (std::fabs(aspect - kA4Width / kA4Height) < 0.04f ||
             (!known && aspect >= 0.5f && aspect < 0.8f)) {
    std::swap(frame.width, frame.height);
  } else { // a page of its own: Word takes 0.1 to 22 inches
    own_shape = true;
    frame.height = std::max(144.0f, kA4Width * aspect);
    if (frame.height > kMostPoints) {
      frame.height = kMostPoints;
      frame.width = std::max(36.0f, kMostPoints / aspect);
    }
  }
  frame.points_per_pixel = frame.width / width;
  const float side = std::min(left, std::max(0.0f, width - right));
  const float least = std::min(36.0f, 0.06f * frame.width);
  frame.margin_x =
      std::min(90.0f, std::max(least, side * frame.points_per_pixel));
  const auto margin = [&](float pixels) {
    return std::min(72.0f, std::max(least, pixels * frame.points_per_pixel));
  };
  frame.margin_top = margin(body_top);
  // the text hangs from the top: room at the bottom keeps a page that comes
  // out a little longer on one sheet
  frame.margin_bottom = std::min(least, margin(height - body_bottom));
  // a page that is full to its edges: what stands on it becomes smaller, or
  // the page higher, with room for lines that come out longer
  const auto shrink = [&](float pixels, float room) {
    const float points = pixels * frame.points_per_pixel;
    if (points > 1.03f * room)
      frame.points_per_pixel *= std::max(0.8f, room / points);
  };
  shrink(right - left, frame.width - 2 * frame.margin_x);
  const float margins = frame.margin_top + frame.margin_bottom;
  if (own_shape)
    frame.height = std::min(
        kMostPoints, std::max(frame.height, 1.12f * (body_bottom - body_top) *
                                                    frame.points_per_pixel +
                                                margins));
  shrink(body_bottom - body_top, frame.height - margins);
  const float edge = std::min(14.0f, least / 2);
  frame.header_edge = std::min(frame.margin_top / 2,
                               std::max(edge, top * frame.points_per_pixel));
  frame.footer_edge =
      std::min(frame.margin_bottom / 2,
               std::max(edge, (height - bottom) * frame.points_per_pixel));
  return frame;
}

// Size of the type in pixels -> in points, to half a point.
float font_points(float pixels, const PageFrame &frame) {
  const float points = pixels * frame.points_per_pixel;
  if (!(points > 0))
    return 10.5f;
  const float least = std::min(6.0f, 0.01f * frame.width);
  return std::min(72.0f, std::max(least, std::round(points * 2) / 2));
}

// How the columns of the page follow each other, by its text.
PageFlow flow_of(const Page &page) {
  std::string all;
  int tall = 0, lines = 0;
  for (const Region &region : page.regions)
    for (const TextLine &line : region.lines) {
      all += line.text;
      if (line.quad.size() < 4 || decode_utf8(line.text).size() < 2)
        continue;
      const float wide = std::hypot(line.quad[1].x - line.quad[0].x,
                                    line.quad[1].y - line.quad[0].y);
      const float high = std::hypot(line.quad[2].x - line.quad[1].x,
                                    line.quad[2].y - line.quad[1].y);
      // a column of ideographs; a turned page of letters is no such page
      tall += high > 1.5f * wide &&
              std::fabs(line.quad[1].y - line.quad[0].y) < wide &&
              is_cjk(decode_utf8(line.text)[0]);
      ++lines;
    }
  return 2 * tall > lines            ? PageFlow::VerticalText
         : mostly_right_to_left(all) ? PageFlow::RightToLeft
                                     : PageFlow::LeftToRight;
}

class Builder {
public:
  Builder(const BuildOptions &options, Document *document)
      : options_(options), document_(document) {}

  void add_page(const Page &page, const PageSize &size) {
    page_ = &page;
    width_ = size.width;
    height_ = size.height;
    document_->pages.push_back(make_frame(page, size));
    frame_ = &document_->pages.back();
    for (const std::string &text : page.warnings)
      document_->warnings.push_back(text);
    for (const std::string &text : page.losses)
      lose(text);
    // the margin is kept, what is white below it stands before the first block
    bottom_ = frame_->points_per_pixel > 0
                  ? frame_->margin_top / frame_->points_per_pixel
                  : 1e30f;
    sizes_.clear();
    flow_ = flow_of(page);
    std::vector<const Region *> body, top, bottom;
    for (const Region &region : page.regions) {
      const Margin margin = margin_of(region, height_);
      (margin == Margin::Top      ? top
       : margin == Margin::Bottom ? bottom
                                  : body)
          .push_back(&region);
    }
    add_margin_text(top, &frame_->header);
    add_margin_text(bottom, &frame_->footer);
    const size_t first = document_->sections.size();
    const std::vector<Band> bands = reading_order(body, width_, flow_);
    if (!bands.empty() && bands[0].columns > 1) {
      // the white above columns is the margin's: programs disagree about
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
    for (const Band &band : reading_order(regions, 1e9f, flow_))
      for (const Placed &placed : band.regions) {
        const TextFlow flow =
            make_rows(placed.region->lines, placed.region->box);
        if (flow.rows.empty())
          continue;
        Paragraph paragraph = join_rows(flow);
        to_points(&paragraph);
        paragraph.indent_first = false;
        paragraph.align = side(placed.region->box, Box(0, 0, width_, 0));
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

  // Widths of the columns as on the page, when they differ.
  std::vector<float> column_widths(const Band &band) const {
    float least = 1e30f, most = 0, sum = 0;
    for (const Box &place : band.places) {
      least = std::min(least, place.width());
      most = std::max(most, place.width());
      sum += place.width();
    }
    std::vector<float> widths;
    if (band.columns < 2 || least > 0.85f * most)
      return widths;
    const float room =
        frame_->width - 2 * frame_->margin_x - kColumnGap * (band.columns - 1);
    const float narrow = 0.5f * room / band.columns;
    for (const Box &place : band.places)
      widths.push_back(std::max(narrow, room * place.width() / sum));
    float total = 0;
    for (float width : widths)
      total += width;
    for (float &width : widths)
      width *= room / total;
    return widths;
  }

  void add_band(const Band &band) {
    Section section;
    section.columns = band.columns;
    section.widths = column_widths(band);
    section.right_to_left = flow_ == PageFlow::RightToLeft;
    float bottom = bottom_, lowest = bottom_; // of what stands above
    float above = 0;                          // white above a band of columns
    const bool first_band = document_->section_page.empty() ||
                            document_->section_page.back() != page_place();
    int column = 0;
    for (const Placed &placed : band.regions) {
      placed_ = &placed;
      column_ = band.columns > 1 ? band.places[placed.column]
                                 : Box(0, 0, width_, height_);
      if (placed.column != column) // a column begins at the band's top
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
      else // above all columns, not at the top of one
        above = first == 0 ? white : std::min(above, white);
      bottom = std::max(bottom, placed.region->box.y2);
      lowest = std::max(lowest, bottom);
    }
    bottom_ = lowest;
    if (section.blocks.empty())
      return;
    if (above > 0 && !first_band)
      document_->sections.back().blocks.back().space_after = above;
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
    block.column = placed_->column;
    return block;
  }

  void warn(const Region &region, const std::string &what) {
    const std::string text = place_of(*page_, region) + ": " + what;
    if (options_.strict)
      throw RecoveryError(text);
    document_->warnings.push_back(text);
  }

  void lose(const std::string &text) {
    if (options_.strict)
      throw RecoveryError(text);
    document_->losses.push_back(text);
  }

  void add_region(const Region &region, Section *section) {
    const Kind kind = kind_of(region.type);
    if (kind == Kind::Table) {
      if (add_table(region, section))
        return;
    } else if (kind == Kind::Equation && !latex_of(region).empty()) {
      add_equation(region, section);
      return;
    }
    const bool as_picture =
        !is_text(kind) || make_rows(region.lines, region.box).rows.empty();
    if (as_picture && add_picture(region, kind, section))
      return;
    const size_t before = section->blocks.size();
    add_text(region, kind, section);
    if (section->blocks.size() == before && kind == Kind::Table &&
        !region.html.empty())
      add_table_text(region, section);
    if (section->blocks.size() == before && !is_text(kind))
      lose(place_of(*page_, region) + ": nothing of it is in the document" +
           why_no_picture(region));
  }

  static std::string why_no_picture(const Region &region) {
    return region.image_problem.empty() ? std::string()
                                        : " (" + region.image_problem + ")";
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
    Table &table = block.table;
    if (!plain_text(table.caption).empty()) {
      Block caption = new_block(region, BlockKind::Paragraph);
      caption.paragraph.kind = ParagraphKind::Caption;
      caption.paragraph.runs = table.caption;
      caption.paragraph.font_size = 10.5f;
      section->blocks.push_back(std::move(caption));
    }
    lay_out_table(region, &table);
    table.font_size *= frame_->points_per_pixel;
    if (section->columns == 1)
      table.align = side(region.box, column_);
    Region rest = region; // what was read and stands in no cell
    rest.lines = lines_without(region.lines, table_text(region.html));
    section->blocks.push_back(std::move(block));
    if (!rest.lines.empty()) {
      warn(region, "text that is in no cell stands below the table");
      add_text(rest, Kind::Text, section);
    }
    return true;
  }

  // A table that cannot be one: its rows as lines.
  void add_table_text(const Region &region, Section *section) {
    std::string row;
    const std::string text = table_text(region.html) + "\n";
    for (char c : text) {
      if (c != '\n') {
        row += c;
        continue;
      }
      if (!trim(row).empty()) {
        Block block = new_block(region, BlockKind::Paragraph);
        block.paragraph.runs.push_back(Run(row));
        section->blocks.push_back(std::move(block));
      }
      row.clear();
    }
  }

  // Some models give LaTeX as the text of the line.
  static std::string latex_of(const Region &region) {
    if (!region.latex.empty() || !region.image.empty())
      return region.latex;
    std::string text;
    for (const TextLine &line : region.lines)
      text += (text.empty() ? "" : " ") + line.text;
    const size_t at = text.find('\\');
    const bool command = at != std::string::npos && at + 1 < text.size() &&
                         text[at + 1] >= 'A' && text[at + 1] <= 'z';
    return command ? text : std::string();
  }

  void add_equation(const Region &region, Section *section) {
    Block block = new_block(region, BlockKind::Paragraph);
    Paragraph &paragraph = block.paragraph;
    paragraph.kind = ParagraphKind::Equation;
    paragraph.latex = latex_of(region);
    paragraph.align = Align::Centre;
    paragraph.font_size = 10.5f;
    section->blocks.push_back(std::move(block));
  }

  bool add_picture(const Region &region, Kind kind, Section *section) {
    if (region.image.empty()) {
      if (kind == Kind::Figure || !region.image_problem.empty())
        warn(region,
             region.image_problem.empty() ? "no crop" : region.image_problem);
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
    picture.align = side(region.box, column_);
    for (const TextLine &line : region.lines)
      picture.description +=
          (picture.description.empty() ? "" : " ") + line.text;
    section->blocks.push_back(std::move(block));
    return true;
  }

  // In the middle of its column with space on both sides.
  bool stands_centred(const Region &region) const {
    const float left = region.box.x1 - column_.x1;
    const float right = column_.x2 - region.box.x2, room = column_.width();
    return left > 0.12f * room && std::fabs(left - right) < 0.04f * room;
  }

  // Where a table, a picture, a header or a footer stands.
  static Align side(const Box &box, const Box &column) {
    const float left = box.x1 - column.x1, right = column.x2 - box.x2;
    if (std::fabs(left - right) < 0.06f * column.width())
      return Align::Centre;
    return left < right ? Align::Left : Align::Right;
  }

  // A short line at the right edge: a date, a signature, a number.
  bool stands_right(const Region &region, const TextFlow &flow) const {
    const float left = region.box.x1, right = width_ - region.box.x2;
    return flow.rows.size() == 1 && !flow.right_to_left &&
           left > 0.6f * width_ && right < 0.2f * width_;
  }

  void add_text(const Region &region, Kind kind, Section *section) {
    const TextFlow flow = make_rows(region.lines, region.box);
    if (flow.rows.empty())
      return;
    const bool title = kind == Kind::Title || kind == Kind::DocumentTitle;
    const bool caption = kind == Kind::Caption;
    std::vector<Paragraph> paragraphs;
    if (title || caption)
      paragraphs.push_back(join_rows(flow));
    else if (kind == Kind::Code)
      paragraphs.push_back(code_of(flow));
    else if (kind == Kind::Footnote)
      for (const TextFlow &note : split_notes(flow))
        paragraphs.push_back(join_rows(note));
    else
      paragraphs = make_paragraphs(flow, kind == Kind::List);
    for (Paragraph &paragraph : paragraphs) {
      paragraph.kind = title                    ? ParagraphKind::Heading
                       : caption                ? ParagraphKind::Caption
                       : kind == Kind::Footnote ? ParagraphKind::Footnote
                                                : ParagraphKind::Body;
      // set_levels gives the others theirs
      paragraph.level = kind == Kind::DocumentTitle ? 1 : 0;
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
    }
    if (kind == Kind::List || kind == Kind::Text)
      make_lists(&paragraphs, kind == Kind::List ? 1 : 2, &lists_);
    for (Paragraph &paragraph : paragraphs) {
      Block block = new_block(region, BlockKind::Paragraph);
      block.paragraph = std::move(paragraph);
      section->blocks.push_back(std::move(block));
    }
  }

  const BuildOptions &options_;
  Document *document_;
  const Page *page_ = nullptr;
  PageFrame *frame_ = nullptr;
  PageFlow flow_ = PageFlow::LeftToRight;
  float width_ = 0, height_ = 0; // pixels
  float bottom_ = 0;             // of what was placed on the page so far
  Box column_;                   // of the region, the page where there is one
  int lists_ = 0;                // of the document
  std::vector<float> sizes_;     // of its paragraphs
  const Placed *placed_ = nullptr;
};

// Headings of about the same size have the same level, the largest level 1,
// or 2 below the title of the document; three levels at most.
void set_levels(Document *document) {
  std::vector<Paragraph *> headings;
  bool titled = false;
  for (Section &section : document->sections)
    for (Block &block : section.blocks)
      if (block.kind == BlockKind::Paragraph &&
          block.paragraph.kind == ParagraphKind::Heading) {
        titled = titled || block.paragraph.level == 1;
        if (block.paragraph.level == 0)
          headings.push_back(&block.paragraph);
      }
  std::stable_sort(headings.begin(), headings.end(),
                   [](const Paragraph *a, const Paragraph *b) {
                     return a->font_size > b->font_size;
                   });
  int level = titled ? 1 : 0;
  float bound = 1e30f;
  for (Paragraph *heading : headings) {
    if (heading->font_size < bound * 0.85f) {
      level = std::min(3, level + 1);
      bound = heading->font_size;
    }
    heading->level = level;
  }
}

std::string row_text(const Table &table, int row) {
  std::string text;
  for (const Cell &cell : table.cells)
    if (cell.row == row)
      text += plain_text(cell.runs) + "\t";
  return text;
}

// Does `below` go on with the table `above`, from page to page? Then its rows
// are appended.
bool continue_table(const PageFrame &page, const PageFrame &next, Block *above,
                    Block *below) {
  Table &table = above->table, &more = below->table;
  const auto points = [](const PageFrame &frame, float pixels) {
    return pixels * frame.points_per_pixel;
  };
  const float slack = 0.05f * page.width;
  if (table.columns != more.columns || !plain_text(more.caption).empty() ||
      !(points(page, above->box.y2) > 0.75f * page.height) ||
      !(points(next, below->box.y1) < 0.25f * next.height) ||
      std::fabs(points(page, above->box.x1) - points(next, below->box.x1)) >
          slack ||
      std::fabs(points(page, above->box.x2) - points(next, below->box.x2)) >
          slack)
    return false;
  int repeated = 0; // head rows that the second page shows again
  while (repeated < table.header_rows && repeated + 1 < more.rows &&
         row_text(table, repeated) == row_text(more, repeated))
    ++repeated;
  if (repeated != table.header_rows)
    repeated = 0;
  if (more.header_rows > repeated)
    return false; // another table
  for (Cell &cell : more.cells) {
    if (cell.row < repeated)
      continue;
    cell.row += table.rows - repeated;
    table.cells.push_back(std::move(cell));
  }
  table.rows += more.rows - repeated;
  // as high as both parts
  above->box.y2 += points(next, below->box.height()) / page.points_per_pixel;
  return true;
}

// A table at the end of a page and one at the beginning of the next.
void join_tables(Document *document) {
  std::vector<Section> &sections = document->sections;
  size_t last = 0; // section that holds the table
  for (size_t s = 1; s < sections.size(); ++s) {
    const int page = document->section_page[last];
    const int next = document->section_page[s];
    const bool alone =
        next != document->section_page[s - 1] && page < next &&
        sections[last].columns == 1 && sections[s].columns == 1 &&
        !sections[last].blocks.empty() && !sections[s].blocks.empty() &&
        sections[last].blocks.back().kind == BlockKind::Table &&
        sections[s].blocks[0].kind == BlockKind::Table;
    if (alone &&
        continue_table(document->pages[page], document->pages[next],
                       &sections[last].blocks.back(), &sections[s].blocks[0])) {
      sections[s].blocks.erase(sections[s].blocks.begin());
      sections[s].starts_page = false;
      if (sections[s].blocks.empty())
        continue; // the table may go on on a third page
    }
    last = s;
  }
}

} // namespace

Document build_document(const std::vector<Page> &pages,
                        const BuildOptions &options) {
  Document document;
  if (!options.font.empty())
    document.font = options.font;
  if (!options.east_asian_font.empty())
    document.east_asian_font = options.east_asian_font;
  std::vector<Page> clean = checked(pages, options);
  for (Page &page : clean)
    assign_lines(&page, &document.warnings);
  document.pages.reserve(clean.size()); // Builder keeps a pointer into it
  Builder builder(options, &document);
  const std::vector<PageSize> sizes = sizes_of(clean);
  for (size_t i = 0; i < clean.size(); ++i)
    builder.add_page(clean[i], sizes[i]);
  set_levels(&document);
  link_footnotes(&document);
  join_tables(&document);
  return document;
}

} // namespace recovery
} // namespace PaddleOCR

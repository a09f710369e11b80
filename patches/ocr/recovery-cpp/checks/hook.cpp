// What stands between cpp_infer and the library: names of the documents, crops, blanks, lines that the regions do not have as a whole.
//
//     hook DIR      # writes DIR/photo_ocr.docx; returns the number of what is wrong

#include <include/args.h>
#include <include/structure_recovery.h>

#include <cstdio>

using namespace PaddleOCR;

namespace {

int wrong = 0, looked = 0;

void check(bool good, const char *what, const std::string &got = "") {
  ++looked;
  if (good)
    return;
  ++wrong;
  std::printf("wrong: %s %s\n", what, got.c_str());
}

std::string names(const std::vector<cv::String> &images) {
  std::string all;
  for (const std::string &name : StructureRecovery::Names(images))
    all += name + " ";
  return all;
}

void check_names() {
  const auto want = [](const std::vector<cv::String> &images, const std::string &all) {
    check(names(images) == all, all.c_str(), names(images));
  };
  want({"d/a.jpg", "d/b.png"}, "a b ");
  want({"d/a.jpg", "d/a.png", "d/b.png"}, "a_jpg a_png b ");
  want({"d/a.jpg", "d/a.png", "d/a_jpg.bmp"}, "a_jpg a_png a_jpg_2 ");
  want({"d/v1.2.jpg", "d/v1.3.jpg"}, "v1.2 v1.3 ");
  want({"d/a", "d/b"}, "a b ");
}

// A photograph (smooth, with the noise of a camera) and a drawing.
cv::Mat page_of_two() {
  cv::Mat page(800, 600, CV_8UC3, cv::Scalar::all(255));
  cv::Mat photo(300, 400, CV_8UC3), noise(photo.size(), CV_8UC3);
  for (int y = 0; y < photo.rows; ++y)
    for (int x = 0; x < photo.cols; ++x)
      photo.at<cv::Vec3b>(y, x) = cv::Vec3b(x / 2, (x + y) / 4, 200 - y / 2);
  cv::RNG(1).fill(noise, cv::RNG::UNIFORM, 0, 12);
  photo += noise;
  photo.copyTo(page(cv::Rect(100, 50, 400, 300)));
  cv::rectangle(page, cv::Rect(100, 450, 400, 200), cv::Scalar(200, 60, 40), -1);
  return page;
}

StructurePredictResult figure(float x1, float y1, float x2, float y2) {
  StructurePredictResult made;
  made.type = "figure";
  made.box = {x1, y1, x2, y2};
  made.confidence = 1;
  return made;
}

void write_pictures(const std::string &out) {
  StructureRecovery recovery;
  recovery.AddPage(page_of_two(), {figure(100, 50, 500, 350), figure(100, 450, 700, 900)}); // the second one leaves the page
  check(recovery.Write(out, "photo"), "two pictures are written");
  recovery.AddPage(page_of_two(), {figure(700, 900, 800, 1000)}); // off the page: nothing to crop
  check(!recovery.Write(out, "off"), "a figure off the page is a loss");
}

// A line of text as a picture, through WithBlanks.
std::string read(const std::string &text, bool light) {
  const int font = cv::FONT_HERSHEY_COMPLEX;
  const auto width = [&](const std::string &part) { return cv::getTextSize(part, font, 1, 1, nullptr).width; };
  cv::Mat line(48, width(text) + 20, CV_8UC3, cv::Scalar::all(light ? 20 : 250));
  cv::putText(line, text, cv::Point(10, 34), font, 1, cv::Scalar::all(light ? 240 : 10), 1, cv::LINE_AA);
  std::vector<std::string> characters;
  std::vector<float> places;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ')
      continue; // the recogniser saw none
    characters.push_back(text.substr(i, 1));
    places.push_back(10 + (width(text.substr(0, i)) + width(text.substr(0, i + 1))) / 2.0f);
  }
  return StructureRecovery::WithBlanks(line, characters, places);
}

void check_blanks() {
  for (const bool light : {false, true})
    for (const char *text : {"The left column is read", "illness", "one", "in 12 lines"})
      check(read(text, light) == text, text, read(text, light));
  check(read("1 024.5", false) == "1024.5", "no blank in a number", read("1 024.5", false));
  const cv::Mat white(32, 200, CV_8UC3, cv::Scalar::all(255));
  check(StructureRecovery::WithBlanks(white, {"\xE4\xB8\xAD", "\xE6\x96\x87"}, {20, 150}) == "\xE4\xB8\xAD\xE6\x96\x87", "no blank between ideographs");
  check(StructureRecovery::WithBlanks(white, {}, {}).empty(), "no characters");
  check(StructureRecovery::WithBlanks(white, {"a", "b"}, {-50, 900}).size() >= 2, "places off the picture");
}

OCRPredictResult found(const std::string &text, int x1, int y1, int x2, int y2, float score = 0.9f) {
  OCRPredictResult made;
  made.text = text;
  made.score = score;
  made.box = {{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}};
  return made;
}

void check_ready(const std::string &out) {
  check(StructureRecovery::Ready(out + "/a/b/c") && StructureRecovery::Ready(out + "/a/b/c"), "directories in one another");
  StructureRecovery recovery;
  recovery.AddPage(page_of_two(), {figure(100, 50, 500, 350)});
  check(recovery.Write(out + "/a/b/c", "deep"), "a document in a new directory");
  check(!StructureRecovery::Ready(out + "/a/b/c/deep_ocr.docx/d"), "a file is no directory");
}

using Lines = std::vector<OCRPredictResult>;
using Regions = std::vector<StructurePredictResult>;

StructurePredictResult text(float x1, float y1, float x2, float y2, const Lines &lines) {
  StructurePredictResult made = figure(x1, y1, x2, y2);
  made.type = "text";
  for (OCRPredictResult line : lines) { // given on the page
    for (std::vector<int> &point : line.box) {
      point[0] -= (int)x1;
      point[1] -= (int)y1;
    }
    made.text_res.push_back(line);
  }
  return made;
}

// Region by region, its lines and its box.
std::string all(const Regions &regions) {
  std::string words;
  for (const StructurePredictResult &region : regions) {
    for (float place : region.box)
      words += std::to_string((int)place) + " ";
    for (const OCRPredictResult &line : region.text_res)
      words += line.text + "@" + std::to_string((int)region.box[0] + line.box[0][0]) + "," +
               std::to_string((int)region.box[1] + line.box[0][1]) + " ";
    words += "| ";
  }
  return words;
}

// The lines that are to be read on a page of 1000 x 1000.
std::string unread(const Lines &lines, const Regions &regions) {
  std::string words;
  for (const OCRPredictResult &line : StructureRecovery::Unread(lines, regions, cv::Size(1000, 1000)))
    words += line.text + " ";
  return words;
}

void check_lines() {
  const auto want = [](const std::string &got, const std::string &wanted, const char *what) { check(got == wanted, what, got); };
  const auto added = [](const Lines &lines, Regions regions) {
    StructureRecovery::AddRead(StructureRecovery::Unread(lines, regions, cv::Size(1000, 1000)), regions);
    return all(regions);
  };
  const Regions picture = {figure(0, 0, 300, 100)};
  want(unread({found("in", 10, 10, 200, 30), found("edge", 200, 10, 360, 30), found("half", 250, 50, 400, 70), found("out", 10, 200, 200, 220)},
              picture),
       "half out ", "a picture shows what is mostly in it");
  want(added({found("two", 50, 235, 200, 255), found("one", 50, 200, 200, 220), found("far", 50, 600, 200, 620),
              found("noise", 300, 600, 400, 620, 0.3f)},
             picture),
       "0 0 300 100 | 50 200 200 255 one@50,200 two@50,235 | 50 600 200 620 far@50,600 | ", "lines outside of every region");

  // a paragraph whose region ends before its second line
  const Regions cut = {text(100, 100, 300, 180, {found("first", 102, 100, 298, 120), found("he second li", 100, 130, 300, 150), found("third", 102, 160, 200, 180)})};
  const Lines page = {found("first", 101, 101, 299, 121), found("the second line", 70, 130, 360, 150), found("third", 101, 160, 201, 180)};
  want(unread(page, cut), "the second line ", "a line that sticks out is read whole");
  want(added(page, cut), "70 100 360 180 first@102,100 the second line@70,130 third@102,160 | ", "in the place of its part, boxes stay");
  want(added({found("whole", 70, 130, 360, 150, 0.3f)}, cut), all(cut), "an unsure reading changes nothing");
  want(added({found("short", 70, 130, 360, 150)}, cut), all(cut), "a shorter reading changes nothing");

  // its lower half is cut off
  const Regions low = {text(100, 100, 400, 112, {found("fold", 100, 98, 400, 114)})};
  want(added({found("told", 100, 96, 400, 120)}, low), "100 100 400 120 told@100,96 | ", "a line that is cut along");
  want(unread({found("told", 100, 88, 400, 110)}, low), "told ", "above as well");
  want(unread({found("told", 100, 99, 400, 114)}, low), "", "the detector's boxes are larger than the ink");

  // the crop did not show it to the detector
  want(added({found("missed", 110, 150, 290, 170)}, {text(100, 100, 300, 180, {found("first", 102, 100, 298, 120)})}),
       "100 100 300 180 first@102,100 missed@110,150 | ", "a line that the crop did not show");

  // one region in another: both have a part
  const Regions nested = {text(100, 100, 300, 180, {found("he second li", 100, 130, 300, 150)}), text(110, 125, 300, 155, {found("e second li", 110, 130, 300, 150)})};
  want(added({found("the second line", 70, 130, 360, 150)}, nested), "70 100 360 180 the second line@70,130 | 110 125 300 155 | ", "once, of nested regions");

  // half in a region, half in none: not twice
  want(added({found("a heading", 200, 130, 480, 150)}, {text(100, 100, 300, 180, {found("a head", 200, 130, 300, 150)})}),
       "100 100 300 180 | 200 130 480 150 a heading@200,130 | ", "a part is not written beside the whole");

  // what the detector takes for one line in two columns stays two
  const Regions columns = {text(100, 100, 300, 180, {found("left", 100, 130, 300, 150)}), text(340, 100, 540, 180, {found("right", 340, 130, 540, 150)})};
  want(unread({found("left right", 70, 130, 570, 150)}, columns), "", "two columns");
  // and so do two lines below each other
  want(unread({found("one", 70, 100, 360, 150)}, {text(100, 100, 300, 150, {found("a", 100, 100, 300, 122), found("b", 100, 128, 300, 150)})}), "", "two lines");

  // the detector broke the line on the page, not in the crop
  Lines broken = StructureRecovery::Unread({found("line", 250, 130, 360, 150)}, {text(100, 100, 300, 180, {found("the second li", 100, 130, 300, 150)})}, cv::Size(1000, 1000));
  check(broken.size() == 1 && broken[0].box == std::vector<std::vector<int>>({{100, 130}, {360, 130}, {360, 150}, {100, 150}}), "as long as what was read");

  // vertical text, cut at its end
  want(added({found("down", 100, 100, 124, 460)}, {text(98, 98, 126, 400, {found("dow", 100, 100, 124, 400)})}), "98 98 126 460 down@100,100 | ", "vertical text");
  // a table with cells shows its lines
  StructurePredictResult table = text(0, 0, 300, 100, {});
  table.type = "table";
  table.html = "<table><tr><td>a</td></tr></table>";
  want(unread({found("a", 200, 10, 360, 30)}, {table}), "", "a table shows its text");
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 2)
    return 100;
  check_ready(argv[1]);
  check_names();
  write_pictures(argv[1]);
  check_blanks();
  check_lines();
  std::printf("%d looked at, %d wrong\n", looked, wrong);
  return wrong;
}

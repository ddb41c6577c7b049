/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml - see toml.h: the only C++ of the project, a shell around toml++ without exceptions.
 *
 * A document's nesting is bounded before toml++ sees it (brackets and dotted keys each make levels), since both
 * its parser and its destructors recurse.
 */
#define TOML_EXCEPTIONS        0
#define TOML_HEADER_ONLY       1
#define TOML_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <unistd.h>

/* Errors and memory are C, and their headers are not written for C++. */
extern "C" {
#include "base/err.h"
#include "base/mem.h"
}
#include "base/toml.h"

namespace
{
constexpr int nesting_max = 32; /* levels of brackets, and parts of one dotted key */

/* Follows the lexical structure of TOML just far enough to count. */
class nesting
{
  public:
    explicit nesting(std::string_view text) : text_(text)
    {
    }

    /* The line where it becomes too deep, or 0. */
    int excess()
    {
        while (at_ < text_.size()) {
            const char c = text_[at_];

            if (c == '"' || c == '\'')
                skip_string(c);
            else if (c == '#')
                skip_comment();
            else if (!count(c))
                return line_;
            else
                ++at_;
        }
        return 0;
    }

  private:
    bool count(char c)
    {
        switch (c) {
        case '\n':
            ++line_;
            dots_ = 0;
            break;
        case '[':
        case '{':
            dots_ = 0;
            ++depth_;
            break;
        case ']':
        case '}':
            depth_ -= depth_ > 0;
            break;
        case '=':
        case ',':
            dots_ = 0;
            break;
        case '.':
            ++dots_;
            break;
        default:
            break;
        }
        return depth_ <= nesting_max && dots_ < nesting_max;
    }

    bool at(const char *s) const
    {
        return text_.compare(at_, std::strlen(s), s) == 0;
    }

    void skip_comment()
    {
        while (at_ < text_.size() && text_[at_] != '\n')
            ++at_;
    }

    void skip_string(char quote)
    {
        const std::string three(3, quote);
        const bool multi = at(three.c_str());

        at_ += multi ? 3 : 1;
        while (at_ < text_.size()) {
            if (multi ? at(three.c_str()) : text_[at_] == quote)
                break;
            if (!multi && text_[at_] == '\n')
                return; /* not closed: toml++ will say so */
            if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n')
                ++at_;
            line_ += text_[at_] == '\n';
            ++at_;
        }
        at_ += multi ? 3 : 1;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int line_ = 1;
    int depth_ = 0;
    int dots_ = 0;
};

using line_map = std::map<std::string, int, std::less<>>;

[[noreturn]] void no_memory()
{
    std::abort();
}

json_t *must(json_t *j)
{
    if (!j)
        no_memory();
    return j;
}

json_t *string_json(const std::string &s)
{
    json_t *j = json_stringn(s.data(), s.size());

    /* toml++ checks UTF-8; a refused string is out of memory only. */
    return must(j);
}

template <typename T> json_t *text_json(const T &value)
{
    std::ostringstream out;

    out << value;
    return string_json(out.str());
}

json_t *convert(const toml::node &node, const std::string &path, line_map &lines);

json_t *convert_table(const toml::table &table, const std::string &path, line_map &lines)
{
    json_t *object = must(json_object());

    for (auto &&[key, value] : table) {
        const std::string name(key.str());

        /* A key with a NUL has no C string; it is cut, and then is unknown. */
        if (json_object_set_new(object, name.c_str(),
                                convert(value, path.empty() ? name : path + "." + name, lines)))
            no_memory();
    }
    return object;
}

json_t *convert_array(const toml::array &array, const std::string &path, line_map &lines)
{
    json_t *list = must(json_array());
    std::size_t i = 0;

    for (auto &&value : array) {
        if (json_array_append_new(list, convert(value, path + "." + std::to_string(i++), lines)))
            no_memory();
    }
    return list;
}

json_t *real_json(double v)
{
    if (std::isfinite(v))
        return must(json_real(v));
    return string_json(std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

json_t *convert(const toml::node &node, const std::string &path, line_map &lines)
{
    lines.emplace(path, static_cast<int>(node.source().begin.line));
    switch (node.type()) {
    case toml::node_type::table:
        return convert_table(*node.as_table(), path, lines);
    case toml::node_type::array:
        return convert_array(*node.as_array(), path, lines);
    case toml::node_type::string:
        return string_json(node.as_string()->get());
    case toml::node_type::integer:
        return must(json_integer(node.as_integer()->get()));
    case toml::node_type::floating_point:
        return real_json(node.as_floating_point()->get());
    case toml::node_type::boolean:
        return must(json_boolean(node.as_boolean()->get()));
    case toml::node_type::date:
        return text_json(node.as_date()->get());
    case toml::node_type::time:
        return text_json(node.as_time()->get());
    case toml::node_type::date_time:
        return text_json(node.as_date_time()->get());
    case toml::node_type::none:
        break;
    }
    return must(json_null());
}

/* Dates and error texts are built with C++ strings; memory that runs out there must abort, not unwind into C. */
struct toml_doc *parse(std::string_view text, const char *name, struct err *err) noexcept;

} // namespace

struct toml_doc {
    std::string name;
    json_t *root = nullptr;
    line_map lines;
};

namespace
{
struct toml_doc *parse(std::string_view text, const char *name, struct err *err) noexcept
{
    if (const int line = nesting(text).excess()) {
        (void)err_set(err, ERR_INVALID, "%s:%d: nested deeper than %d", name, line, nesting_max);
        return nullptr;
    }
    const toml::parse_result result = toml::parse(text);

    if (!result) {
        const toml::parse_error &e = result.error();

        (void)err_set(err, ERR_INVALID, "%s:%u:%u: %.*s", name, e.source().begin.line,
                      e.source().begin.column, static_cast<int>(e.description().size()),
                      e.description().data());
        return nullptr;
    }
    auto *doc = new toml_doc;

    doc->name = name;
    doc->root = convert_table(result.table(), "", doc->lines);
    return doc;
}
} // namespace

struct toml_doc *toml_parse(const char *text, size_t len, const char *name, struct err *err)
{
    if (len > TOML_FILE_MAX_BYTES) {
        (void)err_set(err, ERR_EXHAUSTED, "%s: larger than %d bytes", name, TOML_FILE_MAX_BYTES);
        return nullptr;
    }
    return parse(std::string_view(text, len), name, err);
}

json_t *toml_root(const struct toml_doc *doc)
{
    return doc->root;
}

int toml_line(const struct toml_doc *doc, const char *path)
{
    const auto it = doc->lines.find(std::string_view(path));

    return it == doc->lines.end() ? 0 : it->second;
}

const char *toml_name(const struct toml_doc *doc)
{
    return doc->name.c_str();
}

void toml_free(struct toml_doc *doc)
{
    if (!doc)
        return;
    json_decref(doc->root);
    delete doc;
}

/* Stands in for LAMMPS's copy of {fmt} where a set of headers lacks it: declarations that name its types compile,
 * and nothing of them is used. */
#ifndef TAYLORFIT_FMT_FORMAT_H
#define TAYLORFIT_FMT_FORMAT_H
namespace fmt {
struct string_view {};
struct format_args {};
template <typename... Args, typename Format> format_args make_args_checked(const Format &, Args &&...);
template <typename... Args> format_args make_format_args(Args &&...);
}    // namespace fmt
#endif

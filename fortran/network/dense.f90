!> Small dense products over a panel of atoms, the atoms in the vector lanes.
!>
!> A panel x(n_q, n) holds one quantity of n_q atoms per column, n_q best a multiple of `lanes`.  Products of panels are
!> in panels.c, where sums stay in registers.
module tf_dense
   use, intrinsic :: iso_c_binding, only : c_double, c_int
   use tf_kinds, only : wp, sp, rp => wp
   implicit none
   private
   public :: add_product, set_product, transposed_product, multiply_by_transposed_product, add_outer_product, &
      add_column_sums, few_rows_product, combine_columns, project_on_columns, tile_rows

   ! Rows at a time of `few_rows_product`
   integer, parameter :: tile_rows = 4
   ! Rows whose sum may be one of numbers of precision rp; the sums of more are added in double precision
   integer, parameter :: rows_of_sum = merge(2**30, 1024, kind(1.0_rp) == wp)

   ! What becomes of a sum of products, as in panels.c
   integer(c_int), parameter :: mode_add = 0, mode_add_bias = 1, mode_set = 2, mode_multiply = 3

   interface
      !> Σ_k x(q,k) w(p,k) makes z(q,p) in the way of the mode
      pure subroutine panel_product(mode, turned, n_q, n_in, n_out, x, w, bias, z) &
            bind(C, name="tf_panel_product_double")
         import :: c_int, rp
         implicit none
         !> One of the above; is w(n_in, n_out), or w(n_out, n_in)?
         integer(c_int), intent(in), value :: mode, turned
         !> Atoms (padded), inputs, outputs
         integer(c_int), intent(in), value :: n_q, n_in, n_out
         real(rp), intent(in) :: x(n_q, n_in), w(n_in*n_out), bias(n_out)
         real(rp), intent(inout) :: z(n_q, n_out)
      end subroutine panel_product

      !> g(p,k) = g(p,k) + Σ_q d(q,p) x(q,k)
      pure subroutine add_outer_product(n_q, n_in, n_out, x, d, g) &
            bind(C, name="tf_panel_outer_product_double")
         import :: c_double, c_int, rp
         implicit none
         !> Atoms (padded), inputs, outputs
         integer(c_int), intent(in), value :: n_q, n_in, n_out
         !> Input panel; derivatives with respect to the outputs
         real(rp), intent(in) :: x(n_q, n_in), d(n_q, n_out)
         !> Derivatives with respect to the weights
         real(c_double), intent(inout) :: g(n_out, n_in)
      end subroutine add_outer_product

      !> s(p) = s(p) + Σ_q d(q,p)
      pure subroutine add_column_sums(n_q, n_out, d, s) bind(C, name="tf_panel_column_sums_double")
         import :: c_double, c_int, rp
         implicit none
         !> Atoms (padded), outputs
         integer(c_int), intent(in), value :: n_q, n_out
         real(rp), intent(in) :: d(n_q, n_out)
         real(c_double), intent(inout) :: s(n_out)
      end subroutine add_column_sums
   end interface

contains

   !> z(q,p) = z(q,p) + Σ_k x(q,k) w(p,k)
   pure subroutine add_product(n_q, n_in, n_out, x, w, z)
      !> Atoms (padded), inputs, outputs
      integer, intent(in) :: n_q, n_in, n_out
      !> Input panel
      real(rp), intent(in) :: x(n_q, n_in)
      !> Weights
      real(rp), intent(in) :: w(n_out, n_in)
      !> Output panel
      real(rp), intent(inout) :: z(n_q, n_out)

      call panel_product(mode_add, 0, n_q, n_in, n_out, x, w, w, z)
   end subroutine add_product

   !> z(q,p) = bias(p) + Σ_k x(q,k) w(p,k), or without a bias
   pure subroutine set_product(n_q, n_in, n_out, x, w, z, bias)
      !> As for `add_product`
      integer, intent(in) :: n_q, n_in, n_out
      real(rp), intent(in) :: x(n_q, n_in), w(n_out, n_in)
      real(rp), intent(inout) :: z(n_q, n_out)
      real(rp), intent(in), optional :: bias(n_out)

      if (present(bias)) then
         call panel_product(mode_add_bias, 0, n_q, n_in, n_out, x, w, bias, z)
      else
         call panel_product(mode_set, 0, n_q, n_in, n_out, x, w, w, z)
      end if
   end subroutine set_product

   !> below(q,k) = Σ_p above(q,p) w(p,k)
   pure subroutine transposed_product(n_q, n_in, n_out, w, above, below)
      !> As for `add_product`
      integer, intent(in) :: n_q, n_in, n_out
      real(rp), intent(in) :: w(n_out, n_in), above(n_q, n_out)
      real(rp), intent(inout) :: below(n_q, n_in)

      call panel_product(mode_set, 1, n_q, n_out, n_in, above, w, w, below)
   end subroutine transposed_product

   !> below(q,k) = below(q,k) · Σ_p above(q,p) w(p,k)
   pure subroutine multiply_by_transposed_product(n_q, n_in, n_out, w, above, below)
      !> As for `add_product`
      integer, intent(in) :: n_q, n_in, n_out
      real(rp), intent(in) :: w(n_out, n_in), above(n_q, n_out)
      real(rp), intent(inout) :: below(n_q, n_in)

      call panel_product(mode_multiply, 1, n_q, n_out, n_in, above, w, w, below)
   end subroutine multiply_by_transposed_product

   !> y(l,p) = Σ_k a(l,k) x(k,p) for few rows l, a multiple of `tile_rows`, which lie in the vector lanes
   pure subroutine few_rows_product(n_l, n_k, n_p, a, x, y)
      !> Rows, terms of a sum, columns
      integer, intent(in) :: n_l, n_k, n_p
      real(rp), intent(in) :: a(n_l, n_k), x(n_k, n_p)
      real(rp), intent(out) :: y(n_l, n_p)
      real(rp) :: y1(tile_rows), y2(tile_rows), y3(tile_rows), y4(tile_rows)
      integer :: p, k, l, row, p_last

      p_last = n_p - mod(n_p, 4)
      do p = 1, p_last, 4
         do row = 0, n_l - tile_rows, tile_rows
            y1 = 0.0_rp; y2 = 0.0_rp; y3 = 0.0_rp; y4 = 0.0_rp
            do k = 1, n_k
               !$omp simd
               do l = 1, tile_rows
                  y1(l) = y1(l) + a(row + l, k)*x(k, p)
                  y2(l) = y2(l) + a(row + l, k)*x(k, p + 1)
                  y3(l) = y3(l) + a(row + l, k)*x(k, p + 2)
                  y4(l) = y4(l) + a(row + l, k)*x(k, p + 3)
               end do
            end do
            y(row + 1:row + tile_rows, p) = y1
            y(row + 1:row + tile_rows, p + 1) = y2
            y(row + 1:row + tile_rows, p + 2) = y3
            y(row + 1:row + tile_rows, p + 3) = y4
         end do
      end do
      do p = p_last + 1, n_p
         y(:, p) = 0.0_rp
         do k = 1, n_k
            y(:, p) = y(:, p) + a(:, k)*x(k, p)
         end do
      end do
   end subroutine few_rows_product

   !> y(l) = Σ_k x(k) a(l,k), a in single precision
   pure subroutine combine_columns(n, m, x, a, y)
      !> Rows and columns of a
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(m)
      real(sp), intent(in) :: a(n, m)
      real(rp), intent(out) :: y(n)
      integer :: k, l, last

      y = 0.0_rp
      last = m - mod(m, 4)
      do k = 1, last, 4
         !$omp simd
         do l = 1, n
            y(l) = y(l) + x(k)*real(a(l, k), rp) + x(k + 1)*real(a(l, k + 1), rp) &
               + x(k + 2)*real(a(l, k + 2), rp) + x(k + 3)*real(a(l, k + 3), rp)
         end do
      end do
      do k = last + 1, m
         !$omp simd
         do l = 1, n
            y(l) = y(l) + x(k)*real(a(l, k), rp)
         end do
      end do
   end subroutine combine_columns

   !> y(k) = Σ_l x(l) a(l,k), a in single precision
   pure subroutine project_on_columns(n, m, x, a, y)
      !> Rows and columns of a
      integer, intent(in) :: n, m
      real(rp), intent(in) :: x(n)
      real(sp), intent(in) :: a(n, m)
      real(wp), intent(out) :: y(m)
      real(rp) :: a1, a2, a3, a4
      integer :: k, l, first, last, last_row

      y = 0.0_wp
      last = m - mod(m, 4)
      do first = 1, n, rows_of_sum
         last_row = first + min(rows_of_sum - 1, n - first)
         do k = 1, last, 4
            a1 = 0.0_rp; a2 = 0.0_rp; a3 = 0.0_rp; a4 = 0.0_rp
            !$omp simd reduction(+:a1, a2, a3, a4)
            do l = first, last_row
               a1 = a1 + x(l)*real(a(l, k), rp)
               a2 = a2 + x(l)*real(a(l, k + 1), rp)
               a3 = a3 + x(l)*real(a(l, k + 2), rp)
               a4 = a4 + x(l)*real(a(l, k + 3), rp)
            end do
            y(k) = y(k) + a1
            y(k + 1) = y(k + 1) + a2
            y(k + 2) = y(k + 2) + a3
            y(k + 3) = y(k + 3) + a4
         end do
         do k = last + 1, m
            a1 = 0.0_rp
            !$omp simd reduction(+:a1)
            do l = first, last_row
               a1 = a1 + x(l)*real(a(l, k), rp)
            end do
            y(k) = y(k) + a1
         end do
      end do
   end subroutine project_on_columns

end module tf_dense
